import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Dialog } from "@/components/dialog";
import { useFailureToast, useToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";

interface Target {
  revision: string;
  number: number;
  percent: number;
  tag: string;
}
const SHADES = ["bg-accent", "bg-good", "bg-warn", "bg-bad", "bg-muted"];

export function TrafficBar({ endpoint, may }: { endpoint: Schemas["Endpoint"]; may: boolean }) {
  const t = useWords();
  const [editing, setEditing] = useState(false);
  const targets = endpoint.traffic as unknown as Target[];
  return (
    <div>
      <div className="flex h-3 overflow-hidden rounded-full bg-code" role="img" aria-label={`${t.traffic}: ${targets.map((target) => `r${target.number} ${target.percent}%`).join(", ")}`}>
        {targets.map((target, index) => (
          <span key={target.revision} className={`${SHADES[index % SHADES.length]} border-r border-panel transition-[width] last:border-r-0`} style={{ width: `${target.percent}%` }} />
        ))}
      </div>
      <div className="mt-1.5 flex flex-wrap items-center gap-4 text-muted">
        {targets.length === 0 && <span>{t.noRevisions}</span>}
        {targets.map((target, index) => (
          <span key={target.revision} className="flex items-center gap-1.5">
            <span aria-hidden className={`size-2.5 rounded-full ${SHADES[index % SHADES.length]}`} /> r{target.number} <b className="font-medium text-text">{target.percent}%</b> {target.tag && `~${target.tag}`}
          </span>
        ))}
        {may && targets.length > 0 && (
          <button type="button" className="button small" onClick={() => setEditing(true)}>
            {t.editTraffic}
          </button>
        )}
      </div>
      {editing && <Editor endpoint={endpoint} onClose={() => setEditing(false)} />}
    </div>
  );
}

function Editor({ endpoint, onClose }: { endpoint: Schemas["Endpoint"]; onClose: () => void }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const current = endpoint.traffic as unknown as Target[];
  const revisions = useQuery({ queryKey: ["endpoints", endpoint.uid, "revisions"], queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/revisions", { params: { path: { uid: endpoint.uid } } })) });
  const [shares, setShares] = useState<Record<string, { percent: number; tag: string }>>(() => Object.fromEntries(current.map((target) => [target.revision, { percent: target.percent, tag: target.tag }])));
  const total = Object.values(shares).reduce((sum, share) => sum + share.percent, 0);
  const save = useMutation({
    mutationFn: () =>
      take(
        api.PUT("/api/v1/endpoints/{uid}/traffic", {
          params: { path: { uid: endpoint.uid } },
          headers: { "If-Match": `"${endpoint.version}"` },
          body: Object.entries(shares)
            .filter(([, share]) => share.percent > 0 || share.tag)
            .map(([revision, share]) => ({ revision, ...share })),
        }),
      ),
    onError: failed,
    onSuccess: () => {
      toast(t.saved);
      void queries.invalidateQueries({ queryKey: ["endpoints"] });
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={t.editTraffic}>
      <table className="table">
        <thead>
          <tr>
            <th>{t.revision}</th>
            <th>{t.percent}</th>
            <th>~tag</th>
          </tr>
        </thead>
        <tbody>
          {revisions.data?.results
            .filter((revision) => revision.status !== "failed")
            .slice(0, 12)
            .map((revision) => {
              const share = shares[revision.uid] ?? { percent: 0, tag: "" };
              return (
                <tr key={revision.uid}>
                  <td>
                    r{revision.number} <span className="text-muted">{revision.status}</span>
                  </td>
                  <td>
                    <input className="input w-20" type="number" min={0} max={100} aria-label={`r${revision.number} ${t.percent}`} value={share.percent} onChange={(event) => setShares({ ...shares, [revision.uid]: { ...share, percent: Number(event.target.value) } })} />
                  </td>
                  <td>
                    <input className="input w-28" aria-label={`r${revision.number} tag`} value={share.tag} onChange={(event) => setShares({ ...shares, [revision.uid]: { ...share, tag: event.target.value } })} />
                  </td>
                </tr>
              );
            })}
        </tbody>
      </table>
      <div className="mt-4 flex items-center justify-end gap-3">
        <span className={total === 100 ? "text-muted" : "text-bad"}>
          {t.total} {total}%
        </span>
        <button type="button" className="button" onClick={onClose}>
          {t.cancel}
        </button>
        <button type="button" className="button primary" disabled={total !== 100 || save.isPending} onClick={() => save.mutate()}>
          {t.save}
        </button>
      </div>
    </Dialog>
  );
}
