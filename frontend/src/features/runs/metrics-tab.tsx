import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section } from "@/components/basics";
import { ACTIVE } from "@/components/status";
import { number } from "@/config/format";
import { useWords } from "@/config/i18n";

const Chart = lazy(() => import("@/components/chart"));

export function MetricsTab({ run }: { run: Schemas["RunDetail"] }) {
  const t = useWords();
  const metrics = useQuery({
    queryKey: ["runs", run.uid, "metrics"],
    refetchInterval: ACTIVE.has(run.status) ? 2000 : false,
    queryFn: () => take(api.GET("/api/v1/runs/{uid}/metrics", { params: { path: { uid: run.uid } } })),
  });
  if (metrics.error) return <ErrorPanel error={metrics.error} retry={() => void metrics.refetch()} />;
  if (!metrics.data) return <Loading />;
  if (metrics.data.length === 0) return <Empty title={t.noMetrics} />;
  return (
    <div className="grid gap-5 lg:grid-cols-2">
      {metrics.data.map((series) => (
        <Section key={`${series.source}/${series.name}`} title={series.name} actions={<span className="text-muted">{series.source}</span>}>
          {series.points.length < 2 ? (
            <p className="p-6 text-[1.8rem] font-semibold">{number(series.last)}</p>
          ) : (
            <Suspense fallback={<Loading />}>
              <p className="px-4 pt-3 text-[1.3rem] font-semibold">{number(series.last)}</p>
              <Chart x={series.points.map((point) => point.step)} series={[{ label: series.name, values: series.points.map((point) => point.value) }]} />
            </Suspense>
          )}
        </Section>
      ))}
    </div>
  );
}
