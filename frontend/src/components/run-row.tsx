import { Link } from "@tanstack/react-router";
import type { Schemas } from "@/api/client";
import { seconds } from "@/config/format";
import { Time } from "./basics";
import { Status } from "./status";

export type RunItem = Schemas["Run"];

export function RunLink({ run, children }: { run: Pick<RunItem, "number" | "project">; children?: React.ReactNode }) {
  const [team = "", project = ""] = run.project.path.split("/");
  return (
    <Link className="link font-medium" to="/$team/$project/runs/$number" params={{ team, project, number: String(run.number) }}>
      {children ?? `#${run.number}`}
    </Link>
  );
}

/** One run as a line: where it stands, and why, in words. */
export function RunRow({ run, withProject }: { run: RunItem; withProject?: boolean }) {
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b px-4 py-2.5 last:border-b-0">
      <Status status={run.status} />
      <span className="whitespace-nowrap">
        <RunLink run={run}>{withProject ? `${run.project.path} #${run.number}` : `#${run.number}`}</RunLink>
      </span>
      <span className="min-w-0 grow basis-60 truncate text-muted" title={run.message || run.submission.message}>
        {run.message || run.submission.message}
      </span>
      <span className="text-muted">{seconds(run.duration_s)}</span>
      <Time at={run.created_at} />
    </li>
  );
}
