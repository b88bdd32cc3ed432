import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Download } from "lucide-react";
import { api, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { RunRow } from "@/components/run-row";
import { bytes, number } from "@/config/format";
import { useWords } from "@/config/i18n";

interface Column {
  name: string;
  type: string;
  nulls: number;
  min?: number;
  max?: number;
  mean?: number;
  histogram?: number[];
  distinct?: number | null;
  top?: [string, number][];
}
interface Table {
  rows: number;
  columns: Column[];
}

export default function VersionPage() {
  const t = useWords();
  const { version: uid } = useParams({ from: "/inside/$team/$project/data/$version" });
  const version = useQuery({ queryKey: ["dataset-version", uid], queryFn: () => take(api.GET("/api/v1/dataset-versions/{uid}", { params: { path: { uid } } })) });
  const profile = useQuery({ queryKey: ["dataset-version", uid, "profile"], queryFn: async () => (await take(api.GET("/api/v1/dataset-versions/{uid}/profile", { params: { path: { uid } } }))) as unknown as Record<string, Table> });
  const runs = useQuery({ queryKey: ["dataset-version", uid, "runs"], queryFn: () => take(api.GET("/api/v1/dataset-versions/{uid}/runs", { params: { path: { uid } } })) });
  if (version.error) return <ErrorPanel error={version.error} retry={() => void version.refetch()} />;
  if (!version.data) return <Loading />;
  return (
    <div className="space-y-5">
      <div>
        <h1>{version.data.ref}</h1>
        <p className="text-muted">
          {bytes(version.data.size)} · {version.data.created_by.replace("user:", "")} · <Time at={version.data.created_at} /> · <code>{version.data.digest.slice(0, 12)}</code>
        </p>
      </div>
      {Object.entries(profile.data ?? {}).map(([path, table]) => (
        <Section key={path} title={path} actions={<span className="text-muted">{`${number(table.rows)} ${t.rows}, ${table.columns.length} ${t.columns}`}</span>}>
          <table className="table">
            <thead>
              <tr>
                <th>{t.name}</th>
                <th>{t.type}</th>
                <th>{t.nulls}</th>
                <th className="w-full">{t.profile}</th>
              </tr>
            </thead>
            <tbody>
              {table.columns.map((column) => (
                <tr key={column.name}>
                  <td>
                    <code>{column.name}</code>
                  </td>
                  <td>{column.type}</td>
                  <td>{number(column.nulls)}</td>
                  <td>{column.histogram ? <Histogram column={column} /> : (column.top ?? []).slice(0, 5).map(([text, count]) => `${text} (${count})`).join(", ")}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </Section>
      ))}
      <Section title={t.files}>
        <ul>
          {version.data.files.map((file) => (
            <li key={file.path} className="flex items-center gap-3 border-b px-4 py-2 last:border-b-0">
              <code className="min-w-0 grow break-all">{file.path}</code>
              <span className="text-muted">{bytes(file.size)}</span>
              <a className="button small" href={`/api/v1/dataset-versions/${uid}/files/${file.path}`} download aria-label={`${t.download} ${file.path}`}>
                <Download size={14} aria-hidden />
              </a>
            </li>
          ))}
        </ul>
      </Section>
      <Section title={t.runs}>
        {runs.data?.results.length === 0 && <Empty title={t.none} />}
        <ul>
          {runs.data?.results.map((run) => (
            <RunRow key={run.uid} run={run} withProject />
          ))}
        </ul>
      </Section>
    </div>
  );
}

function Histogram({ column }: { column: Column }) {
  const bins = column.histogram ?? [];
  const most = Math.max(1, ...bins);
  const words = `${number(column.min)} - ${number(column.max)}, mean ${number(column.mean)}`;
  return (
    <span className="flex items-end gap-3">
      <svg width={bins.length * 6} height={22} role="img" aria-label={words}>
        {bins.map((count, index) => (
          <rect key={index} x={index * 6} width={5} y={22 - (count / most) * 21 - 1} height={(count / most) * 21 + 1} fill="var(--accent)" />
        ))}
      </svg>
      <span className="text-muted">{words}</span>
    </span>
  );
}
