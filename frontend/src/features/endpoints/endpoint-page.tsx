import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { endpointQuery, projectQuery } from "@/api/queries";
import { CopyButton, ErrorPanel, Loading } from "@/components/basics";
import { History } from "@/components/history";
import { Status } from "@/components/status";
import { Tabs } from "@/components/tabs";
import { useFailureToast, useToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";
import { DeployDialog } from "./deploy-dialog";
import { KeysTab } from "./keys-tab";
import { LogsTab } from "./logs-tab";
import { MetricsTab } from "./metrics-tab";
import { RevisionsTab } from "./revisions-tab";
import { RollbackDialog } from "./rollback-dialog";
import { RolloutPanel } from "./rollout-panel";
import { ScalingTab } from "./scaling-tab";
import { TrafficBar } from "./traffic";
import { TryTab } from "./try-tab";

export default function EndpointPage() {
  const params = useParams({ from: "/inside/$team/$project/endpoints/$endpoint" });
  const endpoint = useQuery(endpointQuery(`${params.team}/${params.project}`, params.endpoint));
  const project = useQuery(projectQuery(params.team, params.project));
  if (endpoint.error) return <ErrorPanel error={endpoint.error} retry={() => void endpoint.refetch()} />;
  if (!endpoint.data || !project.data) return <Loading />;
  const may = project.data.role === "maintainer" || project.data.role === "owner";
  return <Page endpoint={endpoint.data} may={may} />;
}

function Page({ endpoint, may }: { endpoint: Schemas["Endpoint"]; may: boolean }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const search = useSearch({ from: "/inside/$team/$project/endpoints/$endpoint" });
  const navigate = useNavigate({ from: "/$team/$project/endpoints/$endpoint" });
  const [dialog, setDialog] = useState<"deploy" | "rollback">();
  const [team = "", project = ""] = endpoint.project.path.split("/");
  const done = () => {
    toast(t.saved);
    void queries.invalidateQueries({ queryKey: ["endpoints"] });
  };
  const following = useMutation({
    mutationFn: (follow: boolean) => take(api.PUT("/api/v1/endpoints/{uid}/following", { params: { path: { uid: endpoint.uid } }, body: { follow } })),
    onError: failed,
    onSuccess: done,
  });
  const remove = useMutation({ mutationFn: () => api.DELETE("/api/v1/endpoints/{uid}", { params: { path: { uid: endpoint.uid } } }), onError: failed, onSuccess: done });
  return (
    <div>
      <p className="text-muted">
        <Link className="link" to="/$team/$project" params={{ team, project }} search={{ tab: "endpoints" }}>
          {endpoint.project.path}
        </Link>
      </p>
      <div className="mt-1 flex flex-wrap items-center gap-3">
        <h1 className="break-all">{endpoint.slug}</h1>
        <Status status={endpoint.ready} label={endpoint.ready === "True" ? t.ready : endpoint.ready === "False" ? t.notReady : t.unknown} />
        <span className="rounded-full bg-code px-2 text-muted">{endpoint.auth === "public" ? t.public : t.private}</span>
        <span className="grow" />
        {may && (
          <>
            <button type="button" className="button primary" onClick={() => setDialog("deploy")}>
              {t.deploy}
            </button>
            <button type="button" className="button" onClick={() => setDialog("rollback")}>
              {t.rollback}
            </button>
          </>
        )}
      </div>
      {endpoint.url && (
        <p className="mt-2 flex flex-wrap items-center gap-2">
          <code className="rounded bg-code px-2 py-0.5 break-all">{endpoint.url}</code>
          <CopyButton value={endpoint.url} />
        </p>
      )}
      <ul className="mt-3 flex flex-wrap gap-x-6 gap-y-1">
        {endpoint.conditions
          .filter((condition) => condition.type !== "Ready")
          .map((condition) => (
            <li key={condition.type} className="flex items-center gap-2">
              <Status status={condition.status} label={condition.type} />
              <span className="text-muted">{condition.message}</span>
            </li>
          ))}
      </ul>
      {(endpoint.following_paused || endpoint.follows_champion) && (
        <p className="mt-3 flex flex-wrap items-center gap-3 rounded-md bg-warn-soft px-4 py-2 text-warn">
          {endpoint.following_paused ? `${t.automationPaused}: ${endpoint.following_paused}` : t.followingOn}
          {may && endpoint.following_paused && (
            <button type="button" className="button small" onClick={() => following.mutate(endpoint.follows_champion ?? false)}>
              {t.resumeAutomation}
            </button>
          )}
        </p>
      )}
      {endpoint.rollout && <RolloutPanel rollout={endpoint.rollout} may={may} />}
      <div className="mt-4 mb-5">
        <TrafficBar endpoint={endpoint} may={may} />
      </div>
      <Tabs
        value={search.tab ?? "revisions"}
        onChange={(tab) => void navigate({ search: { tab } })}
        tabs={[
          { id: "revisions", label: t.revisions, content: () => <RevisionsTab endpoint={endpoint} may={may} /> },
          { id: "metrics", label: t.metrics, content: () => <MetricsTab endpoint={endpoint} /> },
          { id: "scaling", label: t.scaling, content: () => <ScalingTab endpoint={endpoint} /> },
          { id: "logs", label: t.logs, content: () => <LogsTab endpoint={endpoint} /> },
          { id: "try", label: t.tryIt, content: () => <TryTab endpoint={endpoint} /> },
          { id: "keys", label: t.keys, content: () => <KeysTab endpoint={endpoint} may={may} /> },
          { id: "history", label: t.history, content: () => <History queryKey={["endpoints", endpoint.uid, "events"]} load={() => take(api.GET("/api/v1/endpoints/{uid}/events", { params: { path: { uid: endpoint.uid }, query: { limit: 200 } } }))} /> },
          ...(may
            ? [
                {
                  id: "settings",
                  label: t.settings,
                  content: () => (
                    <div className="panel max-w-xl space-y-4 p-4">
                      <label className="flex items-center gap-2">
                        <input type="checkbox" checked={endpoint.follows_champion} onChange={(event) => following.mutate(event.target.checked)} /> {t.followChampion}
                      </label>
                      <button type="button" className="button danger" disabled={endpoint.deleting || remove.isPending} onClick={() => window.confirm(`${t.delete} ${endpoint.slug}?`) && remove.mutate()}>
                        {t.delete} {endpoint.slug}
                      </button>
                    </div>
                  ),
                },
              ]
            : []),
        ]}
      />
      {dialog === "deploy" && <DeployDialog endpoint={endpoint} onClose={() => setDialog(undefined)} />}
      {dialog === "rollback" && <RollbackDialog endpoint={endpoint} onClose={() => setDialog(undefined)} />}
    </div>
  );
}
