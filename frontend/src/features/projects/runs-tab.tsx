import { useInfiniteQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api, follow, type Schemas, take } from "@/api/client";
import { pollEvery } from "@/api/live";
import { Command, Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { RunLink } from "@/components/run-row";
import { ACTIVE, Status } from "@/components/status";
import { seconds } from "@/config/format";
import { useWords } from "@/config/i18n";

type Page = { results: Schemas["Run"][]; next?: string | null };
const STATUSES = ["pending", "running", "succeeded", "failed", "rejected", "crashed", "cancelled"];

export function RunsTab({ project }: { project: Schemas["Project"] }) {
  const t = useWords();
  const search = useSearch({ from: "/inside/$team/$project" });
  const navigate = useNavigate({ from: "/$team/$project" });
  const [picked, setPicked] = useState<string[]>([]);
  const status = search.status ?? "";
  const words = search.q ?? "";
  const [moving, setMoving] = useState(false);
  const runs = useInfiniteQuery({
    queryKey: ["runs", project.path, status, words],
    initialPageParam: "",
    queryFn: ({ pageParam }): Promise<Page> =>
      pageParam
        ? follow<Page>(pageParam)
        : take(api.GET("/api/v1/runs", { params: { query: { project: project.path, status: status ? [status] : undefined, search: words || undefined } } })),
    getNextPageParam: (page: Page) => page.next ?? undefined,
    refetchInterval: pollEvery(moving),
  });
  const rows = runs.data?.pages.flatMap((page) => page.results) ?? [];
  const active = rows.some((run) => ACTIVE.has(run.status));
  useEffect(() => setMoving(active), [active]);
  const pick = (uid: string) => setPicked((all) => (all.includes(uid) ? all.filter((one) => one !== uid) : [...all, uid]));
  return (
    <Section
      title={t.runs}
      actions={
        <>
          <input
            className="input w-44"
            placeholder={t.search}
            aria-label={t.search}
            defaultValue={words}
            data-search
            onKeyDown={(event) => event.key === "Enter" && void navigate({ search: { ...search, q: event.currentTarget.value || undefined } })}
          />
          <select className="input" aria-label={t.status} value={status} onChange={(event) => void navigate({ search: { ...search, status: event.target.value || undefined } })}>
            <option value="">{t.all}</option>
            {STATUSES.map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
          {picked.length > 1 && (
            <Link to="/compare" search={{ uids: picked.join(",") }} className="button primary">
              {t.compare} ({picked.length})
            </Link>
          )}
        </>
      }
    >
      {runs.isPending && <Loading />}
      {runs.error && <ErrorPanel error={runs.error} retry={() => void runs.refetch()} />}
      {runs.data && rows.length === 0 && (
        <Empty title={status || words ? t.noRunsFound : t.noRuns}>{!status && !words && <Command>hekaton submit --follow</Command>}</Empty>
      )}
      {rows.length > 0 && (
        <table className="table">
          <thead>
            <tr>
              <th className="w-8">
                <span className="sr-only">{t.compare}</span>
              </th>
              <th>{t.run}</th>
              <th>{t.status}</th>
              <th className="w-full">{t.message}</th>
              <th>{t.author}</th>
              <th>{t.duration}</th>
              <th>{t.created}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((run) => (
              <tr key={run.uid}>
                <td>
                  <input type="checkbox" aria-label={`${t.compare} #${run.number}`} checked={picked.includes(run.uid)} onChange={() => pick(run.uid)} />
                </td>
                <td>
                  <RunLink run={run} />
                </td>
                <td>
                  <Status status={run.status} />
                </td>
                <td className="max-w-0 truncate text-muted" title={run.message || run.submission.message}>
                  {run.message || run.submission.message}
                </td>
                <td className="whitespace-nowrap">{run.author.replace("user:", "")}</td>
                <td className="whitespace-nowrap">{seconds(run.duration_s)}</td>
                <td>
                  <Time at={run.created_at} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {runs.hasNextPage && (
        <div className="border-t p-3 text-center">
          <button type="button" className="button small" disabled={runs.isFetchingNextPage} onClick={() => void runs.fetchNextPage()}>
            {t.more}
          </button>
        </div>
      )}
    </Section>
  );
}
