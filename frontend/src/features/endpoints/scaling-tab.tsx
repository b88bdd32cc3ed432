import { useQuery } from "@tanstack/react-query";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { Status } from "@/components/status";
import { bytes } from "@/config/format";
import { useWords } from "@/config/i18n";

export function ScalingTab({ endpoint }: { endpoint: Schemas["Endpoint"] }) {
  const t = useWords();
  const replicas = useQuery({ queryKey: ["endpoints", endpoint.uid, "replicas"], refetchInterval: 4000, queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/replicas", { params: { path: { uid: endpoint.uid } } })) });
  const decisions = useQuery({ queryKey: ["endpoints", endpoint.uid, "decisions"], refetchInterval: 6000, queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/decisions", { params: { path: { uid: endpoint.uid } } })) });
  if (replicas.error) return <ErrorPanel error={replicas.error} retry={() => void replicas.refetch()} />;
  if (!replicas.data || !decisions.data) return <Loading />;
  return (
    <div className="space-y-5">
      <Section title={t.replicas}>
        {replicas.data.length === 0 ? (
          <Empty title={t.none} />
        ) : (
          <table className="table">
            <thead>
              <tr>
                <th>{t.revision}</th>
                <th>{t.status}</th>
                <th>{t.address}</th>
                <th>RAM</th>
                <th className="w-full">{t.message}</th>
                <th>{t.started}</th>
              </tr>
            </thead>
            <tbody>
              {replicas.data.map((replica) => (
                <tr key={replica.uid}>
                  <td>r{replica.revision}</td>
                  <td>
                    <Status status={replica.state} />
                  </td>
                  <td>
                    <code>{replica.address}</code>
                  </td>
                  <td className="whitespace-nowrap">{replica.rss_bytes ? bytes(replica.rss_bytes) : "-"}</td>
                  <td className="text-muted">{replica.message}</td>
                  <td>
                    <Time at={replica.started_at ? new Date(replica.started_at * 1000).toISOString() : null} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Section>
      <Section title={t.scaling}>
        {decisions.data.results.length === 0 && <Empty title={t.none} />}
        <ol>
          {decisions.data.results.map((decision) => (
            <li key={`${decision.revision}-${decision.at}`} className="flex flex-wrap gap-x-4 border-b px-4 py-2 last:border-b-0">
              <span className="w-24 text-muted">
                <Time at={decision.at} />
              </span>
              <span className="w-10 font-medium">r{decision.revision}</span>
              <span className="min-w-0 grow">{decision.message}</span>
            </li>
          ))}
        </ol>
      </Section>
    </div>
  );
}
