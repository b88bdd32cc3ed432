import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Crown } from "lucide-react";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Field, Loading, Section, Time } from "@/components/basics";
import { Dialog } from "@/components/dialog";
import { RunLink } from "@/components/run-row";
import { useFailureToast, useToast } from "@/components/toasts";
import { bytes, number } from "@/config/format";
import { useWords } from "@/config/i18n";

export function LeaderboardTab({ project }: { project: Schemas["Project"] }) {
  const t = useWords();
  const search = useSearch({ from: "/inside/$team/$project" });
  const navigate = useNavigate({ from: "/$team/$project" });
  const [chosen, setChosen] = useState<{ uid: string; number: number }>();
  const board = useQuery({
    queryKey: ["runs", project.path, "leaderboard", search.data],
    refetchInterval: 15_000,
    queryFn: () => take(api.GET("/api/v1/projects/{uid}/leaderboard", { params: { path: { uid: project.uid }, query: search.data === undefined ? {} : { data: search.data } } })),
  });
  const champion = useQuery({ queryKey: ["projects", project.uid, "champion"], queryFn: () => take(api.GET("/api/v1/projects/{uid}/champion", { params: { path: { uid: project.uid } } })) });
  if (board.error) return <ErrorPanel error={board.error} retry={() => void board.refetch()} />;
  if (!board.data) return <Loading />;
  const may = project.role === "maintainer" || project.role === "owner";
  return (
    <div className="space-y-5">
      <Section
        title={`${board.data.metric || t.metric} (${board.data.direction === "minimize" ? t.minimize : t.maximize})`}
        actions={
          board.data.choices.length > 1 && (
            <select className="input max-w-72" aria-label={t.dataUsed} value={board.data.data_key} onChange={(event) => void navigate({ search: { ...search, data: event.target.value } })}>
              {board.data.choices.map((choice) => (
                <option key={choice.key} value={choice.key}>
                  {Object.values(choice.data).join(", ") || t.none} ({choice.entries})
                </option>
              ))}
            </select>
          )
        }
      >
        {board.data.entries.length === 0 ? (
          <Empty title={t.noEntries} />
        ) : (
          <table className="table">
            <thead>
              <tr>
                <th>{t.rank}</th>
                <th>{t.value}</th>
                <th>{t.run}</th>
                <th className="w-full">{t.author}</th>
                <th>{t.image}</th>
                <th>{t.verified}</th>
                <th>{t.cpuSeconds}</th>
                <th>{t.created}</th>
                <th>
                  <span className="sr-only">{t.action}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {board.data.entries.map((entry) => (
                <tr key={entry.run.uid}>
                  <td className="font-medium">{entry.rank}</td>
                  <td className="font-mono">{number(entry.value)}</td>
                  <td className="whitespace-nowrap">
                    <RunLink run={entry.run} />
                    {entry.is_champion && (
                      <span className="ml-2 inline-flex items-center gap-1 rounded-full bg-warn-soft px-2 text-warn">
                        <Crown size={13} aria-hidden /> {t.champion}
                      </span>
                    )}
                  </td>
                  <td>{entry.run.author.replace("user:", "")}</td>
                  <td className="whitespace-nowrap">{bytes(entry.image_size)}</td>
                  <td>{entry.verified ? t.passed : "-"}</td>
                  <td>{number(Math.round(entry.cpu_s * 10) / 10)}</td>
                  <td>
                    <Time at={entry.run.created_at} />
                  </td>
                  <td>
                    {may && entry.model_version && !entry.is_champion && (
                      <button type="button" className="button small" onClick={() => setChosen(entry.model_version ?? undefined)}>
                        {t.promote}
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Section>
      {champion.data && champion.data.history.length > 0 && (
        <Section title={`${t.champion}: ${t.history}`}>
          <ul>
            {champion.data.history.map((promotion) => (
              <li key={promotion.uid} className="flex flex-wrap gap-3 border-b px-4 py-2 last:border-b-0">
                <span className="font-medium">v{promotion.model_version.number}</span>
                <span className="min-w-0 grow text-muted">{promotion.reason}</span>
                <span>{promotion.actor.replace("user:", "")}</span>
                <Time at={promotion.created_at} />
              </li>
            ))}
          </ul>
        </Section>
      )}
      {chosen && <Promote project={project} version={chosen} onClose={() => setChosen(undefined)} />}
    </div>
  );
}

function Promote({ project, version, onClose }: { project: Schemas["Project"]; version: { uid: string; number: number }; onClose: () => void }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const promote = useMutation({
    mutationFn: () => take(api.PUT("/api/v1/projects/{uid}/champion", { params: { path: { uid: project.uid } }, body: { model_version: version.uid, reason } })),
    onError: failed,
    onSuccess: () => {
      toast(t.saved);
      void queries.invalidateQueries();
      onClose();
    },
  });
  return (
    <Dialog open onClose={onClose} title={`${t.promote} v${version.number}`}>
      <Field label={t.reason}>
        <input className="input w-full" autoFocus value={reason} onChange={(event) => setReason(event.target.value)} />
      </Field>
      <div className="mt-4 flex justify-end gap-2">
        <button type="button" className="button" onClick={onClose}>
          {t.cancel}
        </button>
        <button type="button" className="button primary" disabled={!reason.trim() || promote.isPending} onClick={() => promote.mutate()}>
          {t.promote}
        </button>
      </div>
    </Dialog>
  );
}
