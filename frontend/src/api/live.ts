import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";

/** One connection a tab tells what changed; queries that name the topic in their key look again. */
interface Hint {
  topic?: string;
  uid?: string;
  resync?: boolean;
}

let connected = true;
const watchers = new Set<() => void>();

function say(value: boolean): void {
  if (connected !== value) {
    connected = value;
    watchers.forEach((watcher) => watcher());
  }
}

export function useConnected(): boolean {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => connected,
  );
}

/** Which query keys a hint is about: the topic itself, and lists of its noun. */
export function isAbout(key: readonly unknown[], hint: Hint): boolean {
  if (hint.resync) return true;
  const [noun, uid] = (hint.topic ?? "").split(":");
  return key.some((part) => part === uid) || (typeof key[0] === "string" && key[0] === `${noun}s`) || key[0] === "home";
}

function listen(queries: QueryClient): () => void {
  let waiting: Hint[] = [];
  let timer: number | undefined;
  const source = new EventSource("/api/v1/events");
  const flush = () => {
    const hints = waiting;
    waiting = [];
    timer = undefined;
    void queries.invalidateQueries({ predicate: (query) => hints.some((hint) => isAbout(query.queryKey, hint)) });
  };
  source.onmessage = (event: MessageEvent<string>) => {
    waiting.push(JSON.parse(event.data) as Hint);
    timer ??= window.setTimeout(flush, 150);
  };
  source.onopen = () => {
    if (!connected) void queries.invalidateQueries();
    say(true);
  };
  source.onerror = () => say(false);
  return () => {
    source.close();
    window.clearTimeout(timer);
  };
}

export function useLiveUpdates(): void {
  const queries = useQueryClient();
  useEffect(() => listen(queries), [queries]);
}

/** How often to look where hints might be lost: often while something moves, seldom otherwise. */
export function pollEvery(moving: boolean): number {
  return moving ? 4000 : 30_000;
}
