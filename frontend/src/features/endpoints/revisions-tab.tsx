import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { RunLink } from "@/components/run-row";
import { Status } from "@/components/status";
import { useWords } from "@/config/i18n";
import { RollbackDialog } from "./rollback-dialog";

export function RevisionsTab({ endpoint, may }: { endpoint: Schemas["Endpoint"]; may: boolean }) {
  const t = useWords();
  const [target, setTarget] = useState<string>();
  const revisions = useQuery({
    queryKey: ["endpoints", endpoint.uid, "revisions"],
    refetchInterval: 4000,
    queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/revisions", { params: { path: { uid: endpoint.uid } } })),
  });
  return (
    <Section title={t.revisions}>
      {revisions.isPending && <Loading />}
      {revisions.error && <ErrorPanel error={revisions.error} retry={() => void revisions.refetch()} />}
      {revisions.data?.results.length === 0 && <Empty title={t.noRevisions} />}
      {revisions.data && revisions.data.results.length > 0 && (
        <table className="table">
          <thead>
            <tr>
              <th>{t.revision}</th>
              <th>{t.status}</th>
              <th>{t.traffic}</th>
              <th>{t.model}</th>
              <th>{t.run}</th>
              <th className="w-full">{t.message}</th>
              <th>{t.created}</th>
              <th>
                <span className="sr-only">{t.action}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {revisions.data.results.map((revision) => (
              <tr key={revision.uid}>
                <td className="font-medium">{revision.name}</td>
                <td>
                  <Status status={revision.status} />
                </td>
                <td>{revision.percent}%</td>
                <td>{revision.model_version_number ? `v${revision.model_version_number}` : "-"}</td>
                <td>{revision.run_number ? <RunLink run={{ number: revision.run_number, project: endpoint.project }} /> : "-"}</td>
                <td className="max-w-0 truncate text-muted" title={revision.message}>
                  {revision.message}
                </td>
                <td>
                  <Time at={revision.created_at} />
                </td>
                <td>
                  {may && revision.percent < 100 && !["pending", "starting"].includes(revision.status) && (
                    <button type="button" className="button small" onClick={() => setTarget(revision.uid)}>
                      {t.rollback}
                    </button>
                  )}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {target && <RollbackDialog endpoint={endpoint} revision={target} onClose={() => setTarget(undefined)} />}
    </Section>
  );
}
