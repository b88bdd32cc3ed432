import type { Schemas } from "@/api/client";
import { lookOf, Status, TONES } from "@/components/status";
import { seconds } from "@/config/format";

export function Timeline({ steps, chosen, onChoose }: { steps: Schemas["Step"][]; chosen: string | undefined; onChoose: (name: string) => void }) {
  const now = Date.now();
  const starts = steps.flatMap((step) => (step.started_at ? [new Date(step.started_at).getTime()] : []));
  const begin = Math.min(now, ...starts);
  const end = Math.max(begin + 1, ...steps.map((step) => (step.finished_at ? new Date(step.finished_at).getTime() : step.started_at ? now : begin)));
  return (
    <ul className="py-2">
      {steps.map((step) => {
        const from = step.started_at ? new Date(step.started_at).getTime() : end;
        const to = step.finished_at ? new Date(step.finished_at).getTime() : step.started_at ? now : end;
        return (
          <li key={step.uid}>
            <button type="button" onClick={() => onChoose(step.name)} aria-pressed={step.name === chosen} className={`grid w-full grid-cols-[9rem_7rem_1fr_4.5rem] items-center gap-3 px-4 py-1.5 text-left hover:bg-code ${step.name === chosen ? "bg-accent-soft" : ""}`}>
              <span className="truncate font-medium">{step.name}</span>
              <Status status={step.status} />
              <span className="relative h-4 rounded bg-code">
                {step.started_at && (
                  <span
                    className={`absolute inset-y-0 min-w-1 rounded ${TONES[lookOf(step.status).tone]}`}
                    style={{ left: `${((from - begin) / (end - begin)) * 100}%`, width: `${((to - from) / (end - begin)) * 100}%`, background: "currentcolor" }}
                  />
                )}
              </span>
              <span className="text-right text-muted">{seconds(step.duration_s)}</span>
            </button>
          </li>
        );
      })}
    </ul>
  );
}
