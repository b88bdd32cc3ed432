import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Facts, Section, Time } from "@/components/basics";
import { DiffTable } from "@/components/diff-table";
import { LogViewer } from "@/components/log-viewer";
import { ACTIVE, Status } from "@/components/status";
import { bytes, number, seconds, text } from "@/config/format";
import { useWords } from "@/config/i18n";

type Step = Schemas["Step"];

export function StepPanel({ step }: { step: Step }) {
  const t = useWords();
  const [picked, setPicked] = useState<string>();
  const attempt = step.attempts.find((one) => one.uid === picked) ?? step.attempts.at(-1);
  const usage = (attempt?.usage ?? {}) as { cpu_s?: number; max_rss_bytes?: number };
  return (
    <Section
      title={step.name}
      actions={
        <>
          <Status status={step.status} />
          {step.attempts.length > 1 && (
            <select className="input" aria-label={t.attempt} value={attempt?.uid} onChange={(event) => setPicked(event.target.value)}>
              {step.attempts.map((one) => (
                <option key={one.uid} value={one.uid}>
                  {t.attempt} {one.number}: {one.status}
                </option>
              ))}
            </select>
          )}
        </>
      }
    >
      {(step.message || attempt?.message) && (
        <p className={`border-b px-4 py-2.5 break-words ${["failed", "crashed"].includes(step.status) ? "bg-bad-soft text-bad" : "text-muted"}`}>{step.message || attempt?.message}</p>
      )}
      {step.kind === "gate" && <Gate step={step} />}
      {step.kind === "verify" && <Verification step={step} />}
      {step.kind === "deploy" && <Deployed step={step} />}
      {step.kind === "build" && <Built step={step} />}
      {attempt && (
        <>
          <p className="flex flex-wrap gap-x-5 border-b px-4 py-2 text-muted">
            <span>
              {t.started} <Time at={attempt.started_at} />
            </span>
            <span>
              {t.duration} {seconds(step.duration_s)}
            </span>
            {usage.cpu_s !== undefined && <span>CPU {seconds(usage.cpu_s)}</span>}
            {usage.max_rss_bytes !== undefined && usage.max_rss_bytes > 0 && <span>RAM {bytes(usage.max_rss_bytes)}</span>}
            {attempt.node_id && <span>{attempt.node_id}</span>}
          </p>
          <LogViewer key={attempt.uid} url={`/api/v1/attempts/${attempt.uid}/logs`} done={!ACTIVE.has(attempt.status)} />
        </>
      )}
    </Section>
  );
}

function Gate({ step }: { step: Step }) {
  const t = useWords();
  const result = step.result as { rules?: { rule: string; value: number | null; threshold: number | null; passed: boolean; message: string }[] };
  return (
    <table className="table">
      <thead>
        <tr>
          <th>{t.rule}</th>
          <th>{t.value}</th>
          <th>{t.threshold}</th>
          <th>{t.decision}</th>
          <th className="w-full">{t.evidence}</th>
        </tr>
      </thead>
      <tbody>
        {(result.rules ?? []).map((rule) => (
          <tr key={rule.rule}>
            <td>
              <code>{rule.rule}</code>
            </td>
            <td>{number(rule.value)}</td>
            <td>{number(rule.threshold)}</td>
            <td>
              <Status status={rule.passed ? "passed" : "failed"} label={rule.passed ? t.passed : t.failedCheck} />
            </td>
            <td>{rule.message}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Verification({ step }: { step: Step }) {
  const t = useWords();
  const uid = (step.result as { verification?: string }).verification;
  const report = useQuery({
    queryKey: ["verifications", uid],
    enabled: Boolean(uid),
    refetchInterval: ACTIVE.has(step.status) ? 1500 : false,
    queryFn: () => take(api.GET("/api/v1/verifications/{uid}", { params: { path: { uid: uid ?? "" } } })),
  });
  if (!uid || !report.data) return null;
  return (
    <div>
      <ul>
        {report.data.results.map((check) => {
          const request = check.request as { method?: string; path?: string; body?: string };
          const response = check.response as { status?: number; body?: string };
          const differences = check.differences as { path: string; kind: string; expected: unknown; actual: unknown; message: string }[];
          return (
            <li key={check.index} className="border-b px-4 py-3">
              <div className="flex flex-wrap items-center gap-3">
                <Status status={check.outcome} label={check.outcome === "passed" ? t.passed : t.failedCheck} />
                <span className="font-medium">{check.name}</span>
                <code className="text-muted">
                  {request.method} {request.path}
                </code>
                <span className="grow" />
                <span className="text-muted">{seconds(check.elapsed_s)}</span>
              </div>
              {check.message && check.outcome !== "passed" && <p className="mt-1.5 text-bad">{check.message}</p>}
              {differences.length > 0 && <DiffTable rows={differences.map((one) => ({ place: one.path || one.kind, left: text(one.expected), right: text(one.actual) }))} left={t.expected} right={t.actual} />}
              {check.outcome !== "passed" && (
                <details className="mt-2">
                  <summary className="cursor-pointer text-muted">{t.details}</summary>
                  <pre className="mt-1 overflow-x-auto rounded bg-code p-2 whitespace-pre-wrap" tabIndex={0}>
                    {`${request.body ?? ""}\n\n${response.status ?? ""} ${response.body ?? ""}`.trim()}
                  </pre>
                </details>
              )}
            </li>
          );
        })}
      </ul>
      {(report.data.log_tail as string[]).length > 0 && (
        <pre className="overflow-x-auto border-b bg-code p-4" tabIndex={0} aria-label={t.logs}>
          {(report.data.log_tail as string[]).join("\n")}
        </pre>
      )}
      <LogViewer url={`/api/v1/verifications/${uid}/logs`} done={!ACTIVE.has(report.data.status)} />
    </div>
  );
}

function Deployed({ step }: { step: Step }) {
  const t = useWords();
  const result = step.result as { endpoint_slug?: string; revision?: number; url?: string };
  if (!result.endpoint_slug) return null;
  const [team = "", project = ""] = window.location.pathname.split("/").slice(1, 3);
  return (
    <Facts
      items={[
        [
          t.endpoints,
          <Link key="e" className="link" to="/$team/$project/endpoints/$endpoint" params={{ team, project, endpoint: result.endpoint_slug }}>
            {result.endpoint_slug}
          </Link>,
        ],
        [t.revision, `r${result.revision}`],
        ["URL", <code key="u">{result.url}</code>],
      ]}
    />
  );
}

function Built({ step }: { step: Step }) {
  const t = useWords();
  const result = step.result as { digest?: string; size_bytes?: number };
  if (!result.digest) return null;
  return <Facts items={[[t.image, <code key="d" className="break-all">{result.digest}</code>], [t.size, bytes(result.size_bytes)]]} />;
}
