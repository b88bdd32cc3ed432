import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Field, Loading } from "@/components/basics";
import { Dialog } from "@/components/dialog";
import { useFailureToast, useToast } from "@/components/toasts";
import { number } from "@/config/format";
import { useWords } from "@/config/i18n";

type Strategy = "instant" | "rolling" | "canary" | "blue-green";

export function DeployDialog({ endpoint, onClose }: { endpoint: Schemas["Endpoint"]; onClose: () => void }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [version, setVersion] = useState("");
  const [strategy, setStrategy] = useState<Strategy>("instant");
  const [steps, setSteps] = useState("10, 50, 100");
  const [pause, setPause] = useState(60);
  const [manual, setManual] = useState(false);
  const versions = useQuery({
    queryKey: ["projects", endpoint.project.uid, "model-versions"],
    queryFn: () => take(api.GET("/api/v1/model-versions", { params: { query: { project: endpoint.project.path } } })),
  });
  const deployable = versions.data?.results.filter((one) => one.image) ?? [];
  const chosen = version || deployable[0]?.uid || "";
  const deploy = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/v1/endpoints/{uid}/deploy", {
          params: { path: { uid: endpoint.uid } },
          body: { model_version: chosen, run: "", reason: "", strategy, pause_s: pause, manual, ...(strategy === "canary" ? { steps: steps.split(",").map(Number) } : {}) },
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
    <Dialog open onClose={onClose} title={`${t.deploy}: ${endpoint.slug}`}>
      {versions.isPending && <Loading />}
      {versions.error && <ErrorPanel error={versions.error} />}
      {versions.data && deployable.length === 0 && <Empty title={t.none} />}
      {deployable.length > 0 && (
        <form
          className="space-y-4"
          onSubmit={(event) => {
            event.preventDefault();
            deploy.mutate();
          }}
        >
          <Field label={t.modelVersion}>
            <select className="input w-full" value={chosen} onChange={(event) => setVersion(event.target.value)}>
              {deployable.map((one) => (
                <option key={one.uid} value={one.uid}>
                  v{one.number} {one.is_champion ? `(${t.champion})` : ""} - {Object.entries(one.metrics as Record<string, number>).map(([name, value]) => `${name} ${number(value)}`).join(", ")}
                </option>
              ))}
            </select>
          </Field>
          <Field label={t.strategy}>
            <select className="input w-full" value={strategy} onChange={(event) => setStrategy(event.target.value as Strategy)}>
              {(["instant", "rolling", "canary", "blue-green"] as const).map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </Field>
          {strategy === "canary" && (
            <div className="grid gap-4 sm:grid-cols-2">
              <Field label={t.steps100}>
                <input className="input w-full" value={steps} onChange={(event) => setSteps(event.target.value)} />
              </Field>
              <Field label={`${t.pause} (s)`}>
                <input className="input w-full" type="number" min={0} value={pause} onChange={(event) => setPause(Number(event.target.value))} />
              </Field>
              <label className="flex items-center gap-2 sm:col-span-2">
                <input type="checkbox" checked={manual} onChange={(event) => setManual(event.target.checked)} /> {t.manual}
              </label>
            </div>
          )}
          <div className="flex justify-end gap-2">
            <button type="button" className="button" onClick={onClose}>
              {t.cancel}
            </button>
            <button type="submit" className="button primary" disabled={!chosen || deploy.isPending}>
              {t.deploy}
            </button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
