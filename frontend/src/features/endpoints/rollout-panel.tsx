import { useMutation, useQueryClient } from "@tanstack/react-query";
import { api, type Schemas } from "@/api/client";
import { Status } from "@/components/status";
import { useFailureToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";

export function RolloutPanel({ rollout, may }: { rollout: Schemas["Rollout"]; may: boolean }) {
  const t = useWords();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const act = useMutation({
    mutationFn: (what: "advance" | "pause" | "resume" | "abort") => {
      const params = { path: { uid: rollout.uid } };
      if (what === "advance") return api.POST("/api/v1/rollouts/{uid}/advance", { params });
      if (what === "pause") return api.POST("/api/v1/rollouts/{uid}/pause", { params });
      if (what === "resume") return api.POST("/api/v1/rollouts/{uid}/resume", { params });
      return api.POST("/api/v1/rollouts/{uid}/abort", { params, body: { reason: "" } });
    },
    onError: failed,
    onSettled: () => void queries.invalidateQueries({ queryKey: ["endpoints"] }),
  });
  const steps = rollout.steps as number[];
  const index = rollout.index ?? -1;
  return (
    <section aria-label={t.rollout} className="panel mt-4 p-4" aria-live="polite">
      <div className="flex flex-wrap items-center gap-3">
        <h2>
          {t.rollout} r{rollout.revision}
        </h2>
        <Status status={rollout.status} />
        <span className="text-muted">{rollout.strategy}</span>
        <span className="grow" />
        {may && (
          <>
            <button type="button" className="button small" disabled={index < 0 || index + 1 >= steps.length || act.isPending} onClick={() => act.mutate("advance")}>
              {t.advance}
            </button>
            <button type="button" className="button small" disabled={act.isPending} onClick={() => act.mutate(rollout.status === "paused" ? "resume" : "pause")}>
              {rollout.status === "paused" ? t.resume : t.pause}
            </button>
            <button type="button" className="button small danger" disabled={act.isPending} onClick={() => act.mutate("abort")}>
              {t.abort}
            </button>
          </>
        )}
      </div>
      <ol className="mt-3 flex gap-1">
        {steps.map((step, at) => (
          <li key={at} className="grow">
            <span className={`block h-1.5 rounded ${at <= index ? "bg-accent" : "bg-line"}`} />
            <span className="text-[.85rem] text-muted">{step}%</span>
          </li>
        ))}
      </ol>
      <p className="mt-1">{rollout.message}</p>
    </section>
  );
}
