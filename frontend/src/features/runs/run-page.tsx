import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { runQuery, stepsQuery } from "@/api/queries";
import { ErrorPanel, Facts, Loading, Section, Time } from "@/components/basics";
import { ACTIVE, Status } from "@/components/status";
import { Tabs } from "@/components/tabs";
import { useFailureToast, useToast } from "@/components/toasts";
import { number, seconds, text } from "@/config/format";
import { useWords } from "@/config/i18n";
import { ArtifactsTab } from "./artifacts-tab";
import { HistoryTab } from "./history-tab";
import { MetricsTab } from "./metrics-tab";
import { Rerun } from "./rerun";
import { StepPanel } from "./step-panel";
import { Timeline } from "./timeline";

const Graph = lazy(() => import("./graph"));

export default function RunPage() {
  const t = useWords();
  const params = useParams({ from: "/inside/$team/$project/runs/$number" });
  const path = `${params.team}/${params.project}`;
  const run = useQuery(runQuery(path, Number(params.number)));
  if (run.error) return <ErrorPanel error={run.error} retry={() => void run.refetch()} />;
  if (!run.data) return <Loading />;
  return (
    <div>
      <Header run={run.data} />
      <Body run={run.data} />
      <span className="sr-only" aria-live="polite">
        {t.status}: {run.data.status}
      </span>
    </div>
  );
}

type Run = Schemas["RunDetail"];

function Header({ run }: { run: Run }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const [again, setAgain] = useState(false);
  const [team = "", project = ""] = run.project.path.split("/");
  const act = useMutation({
    mutationFn: async (what: "cancel" | "retry") => {
      const options = { params: { path: { uid: run.uid } } };
      if (what === "cancel") return { cancelled: await take(api.POST("/api/v1/runs/{uid}/cancel", options)) };
      return { made: await take(api.POST("/api/v1/runs/{uid}/retry", options)) };
    },
    onError: failed,
    onSuccess: (result) => {
      void queries.invalidateQueries({ queryKey: ["runs"] });
      if ("made" in result && result.made) void navigate({ to: "/$team/$project/runs/$number", params: { team, project, number: String(result.made.number) } });
      else toast(t.saved);
    },
  });
  const active = ACTIVE.has(run.status);
  return (
    <div className="mb-5">
      <p className="text-muted">
        <Link className="link" to="/$team/$project" params={{ team, project }}>
          {run.project.path}
        </Link>
      </p>
      <div className="mt-1 flex flex-wrap items-center gap-3">
        <h1>
          {t.run} #{run.number}
        </h1>
        <Status status={run.status} />
        <span className="grow" />
        {active && (
          <button type="button" className="button danger" disabled={run.status === "cancelling" || act.isPending} onClick={() => act.mutate("cancel")}>
            {t.cancelRun}
          </button>
        )}
        {!active && run.status !== "succeeded" && (
          <button type="button" className="button primary" disabled={act.isPending} onClick={() => act.mutate("retry")}>
            {t.retryRun}
          </button>
        )}
        <button type="button" className="button" onClick={() => setAgain(true)}>
          {t.rerun}
        </button>
      </div>
      {run.message && <p className={`mt-2 max-w-4xl break-words ${["failed", "crashed", "rejected"].includes(run.status) ? "text-bad" : "text-muted"}`}>{run.message}</p>}
      <p className="mt-1 text-muted">
        {run.submission.message && <span>{run.submission.message} · </span>}
        {run.author.replace("user:", "")} · <Time at={run.created_at} /> · {seconds(run.duration_s)}
        {Object.entries(run.metrics as Record<string, number>).map(([name, value]) => (
          <span key={name} className="ml-3 rounded bg-code px-1.5 font-mono text-[.9rem] text-text">
            {name} {number(value)}
          </span>
        ))}
      </p>
      {again && <Rerun run={run} onClose={() => setAgain(false)} />}
    </div>
  );
}

function Body({ run }: { run: Run }) {
  const t = useWords();
  const search = useSearch({ from: "/inside/$team/$project/runs/$number" });
  const navigate = useNavigate({ from: "/$team/$project/runs/$number" });
  const steps = useQuery(stepsQuery(run.uid, ACTIVE.has(run.status)));
  if (steps.error) return <ErrorPanel error={steps.error} retry={() => void steps.refetch()} />;
  if (!steps.data) return <Loading />;
  const wanted =
    steps.data.find((step) => step.name === search.step) ??
    steps.data.find((step) => ["failed", "crashed"].includes(step.status)) ??
    steps.data.find((step) => ACTIVE.has(step.status) && step.status !== "pending") ??
    steps.data.at(-1);
  // The graph does not fit a telephone.
  const asTimeline = (search.view ?? (window.innerWidth < 640 ? "timeline" : "graph")) === "timeline";
  const choose = (step: string) => void navigate({ search: { ...search, step }, replace: true });
  return (
    <Tabs
      value={search.tab ?? "steps"}
      onChange={(tab) => void navigate({ search: { ...search, tab } })}
      tabs={[
        {
          id: "steps",
          label: t.steps,
          content: () => (
            <div className="space-y-5">
              <Section
                title={asTimeline ? t.timeline : t.graph}
                actions={
                  <button type="button" className="button small" onClick={() => void navigate({ search: { ...search, view: asTimeline ? "graph" : "timeline" } })}>
                    {asTimeline ? t.graph : t.timeline}
                  </button>
                }
              >
                {asTimeline ? (
                  <Timeline steps={steps.data} chosen={wanted?.name} onChoose={choose} />
                ) : (
                  <Suspense fallback={<Loading />}>
                    <Graph steps={steps.data} chosen={wanted?.name} onChoose={choose} />
                  </Suspense>
                )}
              </Section>
              {wanted && <StepPanel key={wanted.uid} step={wanted} />}
            </div>
          ),
        },
        { id: "metrics", label: t.metrics, content: () => <MetricsTab run={run} /> },
        { id: "artifacts", label: t.artifacts, content: () => <ArtifactsTab run={run} /> },
        { id: "details", label: t.details, content: () => <Details run={run} /> },
        { id: "history", label: t.history, content: () => <HistoryTab run={run} /> },
      ]}
    />
  );
}

function Details({ run }: { run: Run }) {
  const t = useWords();
  const [team = "", project = ""] = run.project.path.split("/");
  const cause = run.cause as Record<string, unknown>;
  return (
    <div className="grid items-start gap-5 xl:grid-cols-2">
      <Section title={t.lineage}>
        <Facts
          items={[
            [t.submit, `${t.version} ${run.submission.number}`],
            [t.code, <code key="c">{run.submission.digest.slice(0, 16)}</code>],
            [t.dataUsed, run.data.length === 0 ? "-" : run.data.map((one) => (
              <span key={one.slot} className="mr-3">
                {one.slot}:{" "}
                <Link className="link" to="/$team/$project/data/$version" params={{ team, project, version: one.version.uid }}>
                  {one.version.ref}
                </Link>
              </span>
            ))],
            [t.reason, Object.entries(cause).map(([key, value]) => `${key}: ${text(value)}`).join(", ")],
            [t.modelVersion, run.model_version ? `v${run.model_version.number}` : "-"],
            ["executor / builder", `${run.executor} / ${run.builder}`],
            [t.started, <Time key="s" at={run.started_at} />],
          ]}
        />
      </Section>
      <Section title={t.params}>
        <Facts items={Object.entries(run.params as Record<string, unknown>).map(([key, value]) => [key, <code key={key}>{text(value)}</code>])} />
      </Section>
      <div className="xl:col-span-2">
        <Section title="hekaton.yaml">
          <pre className="max-h-96 overflow-auto p-4" tabIndex={0}>
            {JSON.stringify(run.manifest, null, 2)}
          </pre>
        </Section>
      </div>
    </div>
  );
}
