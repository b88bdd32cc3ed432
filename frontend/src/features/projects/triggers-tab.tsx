import { useQuery } from "@tanstack/react-query";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { RunLink } from "@/components/run-row";
import { Status } from "@/components/status";
import { useWords } from "@/config/i18n";

export function TriggersTab({ project }: { project: Schemas["Project"] }) {
  const t = useWords();
  const firings = useQuery({ queryKey: ["runs", project.path, "firings"], queryFn: () => take(api.GET("/api/v1/trigger-firings", { params: { query: { project: project.path } } })) });
  return (
    <Section title={t.firings}>
      <p className="border-b px-4 py-2.5 text-muted">
        {t.retrain}: <b className="font-medium text-text">{project.retrain_on_data ? t.automatic : t.none}</b>
      </p>
      {firings.isPending && <Loading />}
      {firings.error && <ErrorPanel error={firings.error} retry={() => void firings.refetch()} />}
      {firings.data?.results.length === 0 && <Empty title={t.noFirings} />}
      <ul>
        {firings.data?.results.map((firing) => {
          const run = firing.run as { number: number } | null;
          return (
            <li key={firing.uid} className="flex flex-wrap items-center gap-3 border-b px-4 py-2.5 last:border-b-0">
              <Status status={firing.outcome} />
              <span className="font-medium">{firing.version?.ref}</span>
              <span className="min-w-0 grow text-muted">{firing.message}</span>
              {run && <RunLink run={{ number: run.number, project: firing.project }} />}
              <Time at={firing.created_at} />
            </li>
          );
        })}
      </ul>
    </Section>
  );
}
