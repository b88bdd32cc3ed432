import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { ErrorPanel, Field, Loading } from "@/components/basics";
import { Dialog } from "@/components/dialog";
import { DiffTable } from "@/components/diff-table";
import { useFailureToast, useToast } from "@/components/toasts";
import { text } from "@/config/format";
import { useWords } from "@/config/i18n";

/** What a rollback would change, why it is done, and the one click that does it. */
export function RollbackDialog({ endpoint, revision, onClose }: { endpoint: Schemas["Endpoint"]; revision?: string; onClose: () => void }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const preview = useQuery({
    queryKey: ["endpoints", endpoint.uid, "preview", revision ?? ""],
    retry: false,
    queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/rollback-preview", { params: { path: { uid: endpoint.uid }, query: { revision } } })),
  });
  const act = useMutation({
    mutationFn: () => take(api.POST("/api/v1/endpoints/{uid}/rollback", { params: { path: { uid: endpoint.uid } }, body: { reason, revision: revision ?? "" } })),
    onError: failed,
    onSuccess: () => {
      toast(t.saved);
      void queries.invalidateQueries({ queryKey: ["endpoints"] });
      onClose();
    },
  });
  const parts = (preview.data?.diff ?? {}) as Record<string, unknown>;
  const rows = ["config", "env", "secrets", "packages", "model"].flatMap((part) =>
    Object.entries((parts[part] ?? {}) as Record<string, { from?: unknown; to?: unknown }>).map(([name, values]) => ({
      place: `${part} ${name}`,
      left: values.from == null ? "-" : text(values.from),
      right: values.to == null ? "-" : text(values.to),
    })),
  );
  return (
    <Dialog open wide onClose={onClose} title={preview.data ? `${t.rollback}: r${preview.data.revision.number}` : t.rollback}>
      {preview.isPending && <Loading />}
      {preview.error && <ErrorPanel error={preview.error} />}
      {preview.data && (
        <form
          className="space-y-4"
          onSubmit={(event) => {
            event.preventDefault();
            act.mutate();
          }}
        >
          <ul className="list-disc space-y-1 pl-5 text-muted">
            <li>{preview.data.instant ? t.instant : t.cold}</li>
            <li>{t.pausesAutomation}</li>
          </ul>
          <div>
            <h3>{t.whatChanges}</h3>
            {rows.length === 0 ? <p className="text-muted">{t.nothingChanges}</p> : <DiffTable rows={rows.slice(0, 60)} />}
          </div>
          <Field label={t.rollbackWhy}>
            <input className="input w-full" autoFocus value={reason} onChange={(event) => setReason(event.target.value)} required />
          </Field>
          <div className="flex justify-end gap-2">
            <button type="button" className="button" onClick={onClose}>
              {t.cancel}
            </button>
            <button type="submit" className="button primary" disabled={!reason.trim() || act.isPending}>
              {t.rollback}
            </button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
