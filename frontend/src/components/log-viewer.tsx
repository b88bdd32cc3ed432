import { useVirtualizer } from "@tanstack/react-virtual";
import { Download, Search } from "lucide-react";
import { useCallback, useEffect, useRef, useState } from "react";
import { errorOf } from "@/api/client";
import { useWords } from "@/config/i18n";
import { spans } from "./ansi";

interface Line {
  number: number;
  at: number;
  text: string;
}
interface Page {
  lines: Line[];
  next: number;
  complete: boolean;
  total_lines: number;
  dropped_lines: number;
}

/** A log that grows: pages are fetched as they come, thousands of lines scroll smoothly. */
export function LogViewer({ url, done }: { url: string; done: boolean }) {
  const t = useWords();
  const [lines, setLines] = useState<Line[]>([]);
  const [dropped, setDropped] = useState(0);
  const [search, setSearch] = useState("");
  const [following, setFollowing] = useState(!window.location.hash.startsWith("#L"));
  const [loaded, setLoaded] = useState(false);
  const box = useRef<HTMLDivElement>(null);

  useEffect(() => {
    let stopped = false;
    let after = 0;
    let timer: number | undefined;
    setLines([]);
    setLoaded(false);
    async function load() {
      try {
        const query = new URLSearchParams({ after: String(after), limit: "2000" });
        if (search) query.set("search", search);
        const response = await fetch(`${url}?${query}`, { headers: { Accept: "application/json" } });
        if (!response.ok) throw await errorOf(response);
        const page = (await response.json()) as Page;
        if (stopped) return;
        after = page.next;
        setDropped(page.dropped_lines);
        if (page.lines.length > 0) setLines((held) => [...held, ...page.lines].slice(-200_000));
        setLoaded(true);
        const full = page.lines.length === 2000;
        if (!page.complete || full) timer = window.setTimeout(() => void load(), full ? 0 : done ? 3000 : 700);
      } catch {
        if (!stopped) timer = window.setTimeout(() => void load(), 3000);
      }
    }
    const start = window.setTimeout(() => void load(), search ? 250 : 0);
    return () => {
      stopped = true;
      window.clearTimeout(timer);
      window.clearTimeout(start);
    };
  }, [url, search, done]);

  const rows = useVirtualizer({ count: lines.length, getScrollElement: () => box.current, estimateSize: () => 19, overscan: 30 });
  useEffect(() => {
    if (following && lines.length > 0) rows.scrollToIndex(lines.length - 1, { align: "end" });
  }, [following, lines.length, rows]);
  useEffect(() => {
    const wanted = Number(window.location.hash.replace("#L", ""));
    const index = wanted ? lines.findIndex((line) => line.number === wanted) : -1;
    if (index >= 0 && !following) rows.scrollToIndex(index, { align: "center" });
  }, [following, lines, rows]);
  const scrolled = useCallback(() => {
    const at = box.current;
    if (at && at.scrollHeight - at.scrollTop - at.clientHeight > 60) setFollowing(false);
  }, []);
  const marked = Number(window.location.hash.replace("#L", ""));

  return (
    <div>
      <div className="flex flex-wrap items-center gap-2 border-b px-3 py-1.5">
        <span className="relative min-w-40 grow">
          <Search size={14} className="absolute top-2 left-2 text-faint" aria-hidden />
          <input className="input w-full max-w-72 pl-7" placeholder={t.search} aria-label={`${t.search}: ${t.logs}`} value={search} onChange={(event) => setSearch(event.target.value)} data-search />
        </span>
        <label className="flex items-center gap-1.5">
          <input type="checkbox" checked={following} onChange={(event) => setFollowing(event.target.checked)} /> {t.follow}
        </label>
        <a className="button small" href={`${url}?download=1`} download>
          <Download size={14} aria-hidden /> {t.download}
        </a>
      </div>
      {dropped > 0 && (
        <p className="border-b bg-warn-soft px-3 py-1 text-warn">
          {dropped.toLocaleString()} {t.linesDropped}
        </p>
      )}
      <div ref={box} onWheel={scrolled} className="h-96 overflow-auto bg-code font-mono text-[.88rem] leading-[19px]" tabIndex={0} role="log" aria-label={t.logs} aria-live="off">
        {lines.length === 0 && loaded && <p className="p-3 text-muted">{t.noLogs}</p>}
        <div style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map((item) => {
            const line = lines[item.index];
            if (!line) return null;
            return (
              <div key={item.key} style={{ position: "absolute", top: 0, transform: `translateY(${item.start}px)` }} className={`flex w-full ${line.number === marked ? "bg-warn-soft" : ""}`}>
                <a href={`#L${line.number}`} className="w-14 shrink-0 pr-3 text-right text-faint select-none" onClick={() => setFollowing(false)}>
                  {line.number}
                </a>
                <span className="pr-4 whitespace-pre">
                  {spans(line.text).map((span, index) => (
                    <span key={index} className={span.style}>
                      {span.text}
                    </span>
                  ))}
                </span>
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
