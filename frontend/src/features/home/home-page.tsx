import { useQuery } from "@tanstack/react-query";
import { api, take } from "@/api/client";
import { pollEvery } from "@/api/live";
import { projectsQuery } from "@/api/queries";
import { Command, Empty, ErrorPanel, Loading, Section } from "@/components/basics";
import { EndpointRow } from "@/components/endpoint-row";
import { RunRow } from "@/components/run-row";
import { useWords } from "@/config/i18n";

const DAY = 86_400_000;

export default function HomePage() {
  const t = useWords();
  const projects = useQuery(projectsQuery());
  const active = useQuery({
    queryKey: ["home", "active"],
    refetchInterval: (query) => pollEvery(Boolean(query.state.data?.results.length)),
    queryFn: () => take(api.GET("/api/v1/runs", { params: { query: { active: true, limit: 20 } } })),
  });
  const recent = useQuery({ queryKey: ["home", "recent"], refetchInterval: 30_000, queryFn: () => take(api.GET("/api/v1/runs", { params: { query: { active: false, limit: 30 } } })) });
  const endpoints = useQuery({ queryKey: ["home", "endpoints"], refetchInterval: 10_000, queryFn: () => take(api.GET("/api/v1/endpoints", { params: { query: { limit: 100 } } })) });
  const failure = projects.error ?? active.error ?? recent.error ?? endpoints.error;
  if (failure) return <ErrorPanel error={failure} retry={() => window.location.reload()} />;
  if (!projects.data || !active.data || !recent.data || !endpoints.data) return <Loading />;
  if (projects.data.results.length === 0) {
    return (
      <div className="panel mx-auto mt-10 max-w-2xl p-8">
        <h1>{t.emptyTitle}</h1>
        <p className="mt-2 mb-4 text-muted">{t.emptyText}</p>
        <Command>{`hekaton login ${window.location.origin}\nhekaton init my-model --template sklearn-tabular\ncd my-model && hekaton submit --follow`}</Command>
      </div>
    );
  }
  const troubled = endpoints.data.results.filter((endpoint) => endpoint.ready === "False" || endpoint.following_paused || endpoint.rollout?.status === "paused" || endpoint.rollout?.manual);
  const seen = new Set<string>();
  const broken = recent.data.results.filter((run) => {
    const newest = !seen.has(run.project.path);
    seen.add(run.project.path);
    return newest && ["failed", "crashed", "rejected"].includes(run.status) && Date.now() - new Date(run.created_at).getTime() < 7 * DAY;
  });
  return (
    <div className="space-y-5">
      <h1>{t.home}</h1>
      <Section title={t.needsAttention}>
        {troubled.length + broken.length === 0 ? (
          <Empty title={t.nothingNeedsAttention} />
        ) : (
          <ul>
            {troubled.map((endpoint) => (
              <EndpointRow key={endpoint.uid} endpoint={endpoint} />
            ))}
            {broken.map((run) => (
              <RunRow key={run.uid} run={run} withProject />
            ))}
          </ul>
        )}
      </Section>
      <div className="grid gap-5 xl:grid-cols-2">
        <Section title={t.runningNow}>
          {active.data.results.length === 0 ? (
            <Empty title={t.nothingRuns} />
          ) : (
            <ul>
              {active.data.results.map((run) => (
                <RunRow key={run.uid} run={run} withProject />
              ))}
            </ul>
          )}
        </Section>
        <Section title={t.endpointHealth}>
          {endpoints.data.results.length === 0 ? (
            <Empty title={t.none} />
          ) : (
            <ul>
              {endpoints.data.results.map((endpoint) => (
                <EndpointRow key={endpoint.uid} endpoint={endpoint} />
              ))}
            </ul>
          )}
        </Section>
      </div>
      <Section title={t.recentRuns}>
        {recent.data.results.length === 0 ? (
          <Empty title={t.none} />
        ) : (
          <ul>
            {recent.data.results.slice(0, 12).map((run) => (
              <RunRow key={run.uid} run={run} withProject />
            ))}
          </ul>
        )}
      </Section>
    </div>
  );
}
