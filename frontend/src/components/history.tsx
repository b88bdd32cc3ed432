import { useQuery } from "@tanstack/react-query";
import type { Schemas } from "@/api/client";
import { useWords } from "@/config/i18n";
import { Empty, ErrorPanel, Loading, Section, Time } from "./basics";

/** What happened, newest first. */
export function History({ queryKey, load }: { queryKey: string[]; load: () => Promise<{ results: Schemas["Event"][] }> }) {
  const t = useWords();
  const events = useQuery({ queryKey, queryFn: load });
  return (
    <Section title={t.history}>
      {events.isPending && <Loading />}
      {events.error && <ErrorPanel error={events.error} retry={() => void events.refetch()} />}
      {events.data?.results.length === 0 && <Empty title={t.none} />}
      <ul>
        {events.data?.results.map((event) => {
          const data = event.data as { from?: string; to?: string };
          return (
            <li key={event.id} className="flex flex-wrap items-baseline gap-x-3 border-b px-4 py-1.5 last:border-b-0">
              <span className="w-24 shrink-0 text-muted">
                <Time at={event.created_at} />
              </span>
              <span className="w-24 shrink-0 font-medium">{event.noun}</span>
              <span>{event.kind === "status" ? `${data.from} → ${data.to}` : event.kind}</span>
              <span className="min-w-0 grow break-words text-muted">{event.message || event.reason}</span>
              <span className="text-muted">{event.actor.replace("user:", "")}</span>
            </li>
          );
        })}
      </ul>
    </Section>
  );
}
