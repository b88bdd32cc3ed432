import { useQuery } from "@tanstack/react-query";
import { useSearch } from "@tanstack/react-router";
import { api, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section } from "@/components/basics";
import { RunLink } from "@/components/run-row";
import { Status } from "@/components/status";
import { text } from "@/config/format";
import { useWords } from "@/config/i18n";

export default function ComparePage() {
  const t = useWords();
  const uids = (useSearch({ from: "/inside/compare" }).uids ?? "").split(",").filter(Boolean);
  const found = useQuery({ queryKey: ["compare", ...uids], enabled: uids.length > 1, queryFn: () => take(api.GET("/api/v1/runs/compare", { params: { query: { uid: uids } } })) });
  if (uids.length < 2) return <Empty title={t.pickTwo} />;
  if (found.error) return <ErrorPanel error={found.error} retry={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const runs = found.data.runs;
  const parts: [string, unknown][] = [
    [t.metrics, found.data.metrics],
    [t.params, found.data.params],
    [t.data, found.data.data],
    [t.packages, found.data.packages],
    [t.files, found.data.files],
    ["hekaton.yaml", found.data.manifest],
  ];
  return (
    <div className="space-y-5">
      <div>
        <h1>{t.compare}</h1>
        <p className="text-muted">{t.onlyDifferences}</p>
      </div>
      {parts.map(([title, rows]) => {
        const entries = Object.entries(rows as Record<string, Record<string, unknown>>);
        return (
          <Section key={title} title={title}>
            {entries.length === 0 ? (
              <p className="px-4 py-3 text-muted">{t.noDifferences}</p>
            ) : (
              <table className="table">
                <thead>
                  <tr>
                    <th>{t.name}</th>
                    {runs.map((run) => (
                      <th key={run.uid}>
                        <RunLink run={run} /> <Status status={run.status} />
                      </th>
                    ))}
                  </tr>
                </thead>
                <tbody>
                  {entries.map(([name, values]) => (
                    <tr key={name}>
                      <td>
                        <code className="break-all">{name}</code>
                      </td>
                      {runs.map((run) => (
                        <td key={run.uid}>
                          <code className="break-all">{values[run.uid] == null ? "-" : text(values[run.uid]).slice(0, 120)}</code>
                        </td>
                      ))}
                    </tr>
                  ))}
                </tbody>
              </table>
            )}
          </Section>
        );
      })}
    </div>
  );
}
