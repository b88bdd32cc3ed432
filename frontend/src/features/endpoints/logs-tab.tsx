import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, Loading, Section } from "@/components/basics";
import { LogViewer } from "@/components/log-viewer";
import { useWords } from "@/config/i18n";

export function LogsTab({ endpoint }: { endpoint: Schemas["Endpoint"] }) {
  const t = useWords();
  const [chosen, setChosen] = useState<string>();
  const revisions = useQuery({ queryKey: ["endpoints", endpoint.uid, "revisions"], queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/revisions", { params: { path: { uid: endpoint.uid } } })) });
  if (!revisions.data) return <Loading />;
  const serving = revisions.data.results.find((revision) => revision.percent > 0) ?? revisions.data.results[0];
  const uid = chosen ?? serving?.uid;
  if (!uid) return <Empty title={t.noRevisions} />;
  return (
    <Section
      title={t.logs}
      actions={
        <select className="input" aria-label={t.revision} value={uid} onChange={(event) => setChosen(event.target.value)}>
          {revisions.data.results.map((revision) => (
            <option key={revision.uid} value={revision.uid}>
              {revision.name} {revision.percent ? `(${revision.percent}%)` : ""}
            </option>
          ))}
        </select>
      }
    >
      <LogViewer key={uid} url={`/api/v1/revisions/${uid}/logs`} done={false} />
    </Section>
  );
}
