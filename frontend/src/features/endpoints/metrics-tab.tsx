import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useMemo, useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section } from "@/components/basics";
import { number, percent, seconds } from "@/config/format";
import { useWords } from "@/config/i18n";

const Chart = lazy(() => import("@/components/chart"));
const SPANS: [string, number][] = [["15 m", 900], ["1 h", 3600], ["6 h", 21_600], ["24 h", 86_400], ["7 d", 604_800]];

export function MetricsTab({ endpoint }: { endpoint: Schemas["Endpoint"] }) {
  const t = useWords();
  const [span, setSpan] = useState(3600);
  const metrics = useQuery({
    queryKey: ["endpoints", endpoint.uid, "metrics", span],
    refetchInterval: 10_000,
    queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/metrics", { params: { path: { uid: endpoint.uid }, query: { since: String(span), step: Math.max(10, Math.round(span / 180)) } } })),
  });
  if (metrics.error) return <ErrorPanel error={metrics.error} retry={() => void metrics.refetch()} />;
  if (!metrics.data) return <Loading />;
  const totals = metrics.data.totals;
  return (
    <div className="space-y-5">
      <div className="flex flex-wrap items-center gap-2">
        {SPANS.map(([label, value]) => (
          <button key={value} type="button" aria-pressed={span === value} className={`button small ${span === value ? "primary" : ""}`} onClick={() => setSpan(value)}>
            {label}
          </button>
        ))}
      </div>
      <dl className="grid grid-cols-2 gap-3 sm:grid-cols-3 xl:grid-cols-6">
        {(
          [
            [t.requests, number(totals.requests)],
            [t.errors, percent(totals.error_rate)],
            ["p50", seconds(totals.p50_s)],
            ["p95", seconds(totals.p95_s)],
            ["p99", seconds(totals.p99_s)],
            [t.replicas, String(endpoint.replicas)],
          ] as const
        ).map(([name, value]) => (
          <div key={name} className="panel px-4 py-3">
            <dt className="text-muted">{name}</dt>
            <dd className="text-[1.25rem] font-semibold">{value}</dd>
          </div>
        ))}
      </dl>
      {metrics.data.series.length === 0 ? <Empty title={t.noTraffic} /> : <Charts data={metrics.data} />}
    </div>
  );
}

type Point = Schemas["TrafficPoint"];

function Charts({ data }: { data: Schemas["EndpointMetrics"] }) {
  const t = useWords();
  const shown = useMemo(() => {
    const times = [...new Set(data.series.flatMap((series) => series.points.map((point) => new Date(point.at).getTime() / 1000)))].sort((a, b) => a - b);
    const of = (pick: (point: Point) => number | null) =>
      data.series.map((series) => {
        const at = new Map(series.points.map((point) => [new Date(point.at).getTime() / 1000, pick(point)]));
        return { label: `r${series.revision}`, values: times.map((time) => at.get(time) ?? null) };
      });
    const ms = (value: number | null) => (value === null ? null : value * 1000);
    return {
      times,
      rps: of((point) => point.rps),
      errors: of((point) => point.errors),
      latency: of((point) => ms(point.p95_s)),
      replicas: of((point) => point.replicas),
    };
  }, [data]);
  return (
    <Suspense fallback={<Loading />}>
      <div className="grid gap-5 lg:grid-cols-2">
        <Section title={`${t.requests} / s`}>
          <Chart time x={shown.times} series={shown.rps} />
        </Section>
        <Section title={`${t.latency} p95`}>
          <Chart time x={shown.times} series={shown.latency} unit=" ms" />
        </Section>
        <Section title={t.errors}>
          <Chart time x={shown.times} series={shown.errors} />
        </Section>
        <Section title={t.replicas}>
          <Chart time x={shown.times} series={shown.replicas} />
        </Section>
      </div>
    </Suspense>
  );
}
