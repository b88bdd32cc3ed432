import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Field } from "@/components/basics";
import { Dialog } from "@/components/dialog";
import { useFailureToast } from "@/components/toasts";
import { text } from "@/config/format";
import { useWords } from "@/config/i18n";

/** The same submission again, with other parameters. */
export function Rerun({ run, onClose }: { run: Schemas["RunDetail"]; onClose: () => void }) {
  const t = useWords();
  const failed = useFailureToast();
  const navigate = useNavigate();
  const queries = useQueryClient();
  const [params, setParams] = useState<Record<string, string>>(() => Object.fromEntries(Object.entries(run.params as Record<string, unknown>).map(([key, value]) => [key, text(value)])));
  const [cache, setCache] = useState(true);
  const start = useMutation({
    mutationFn: () =>
      take(
        api.POST("/api/v1/runs", {
          body: { submission: run.submission.uid, use_cache: cache, params: Object.fromEntries(Object.entries(params).map(([key, value]) => [key, parsed(value)])) },
        }),
      ),
    onError: failed,
    onSuccess: (made) => {
      void queries.invalidateQueries({ queryKey: ["runs"] });
      onClose();
      const [team = "", project = ""] = run.project.path.split("/");
      void navigate({ to: "/$team/$project/runs/$number", params: { team, project, number: String(made.number) } });
    },
  });
  return (
    <Dialog open onClose={onClose} title={t.rerun}>
      <form
        className="space-y-3"
        onSubmit={(event) => {
          event.preventDefault();
          start.mutate();
        }}
      >
        {Object.entries(params).map(([key, value]) => (
          <Field key={key} label={key}>
            <input className="input w-full font-mono" value={value} onChange={(event) => setParams({ ...params, [key]: event.target.value })} />
          </Field>
        ))}
        <label className="flex items-center gap-2">
          <input type="checkbox" checked={cache} onChange={(event) => setCache(event.target.checked)} /> cache
        </label>
        <div className="flex justify-end gap-2">
          <button type="button" className="button" onClick={onClose}>
            {t.cancel}
          </button>
          <button type="submit" className="button primary" disabled={start.isPending}>
            {t.rerun}
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return value;
  }
}
