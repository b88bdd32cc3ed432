import { useQuery } from "@tanstack/react-query";
import { Download } from "lucide-react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section } from "@/components/basics";
import { bytes } from "@/config/format";
import { useWords } from "@/config/i18n";

export function ArtifactsTab({ run }: { run: Schemas["RunDetail"] }) {
  const t = useWords();
  const artifacts = useQuery({ queryKey: ["runs", run.uid, "artifacts", run.status], queryFn: () => take(api.GET("/api/v1/runs/{uid}/artifacts", { params: { path: { uid: run.uid }, query: { limit: 200 } } })) });
  return (
    <Section title={t.artifacts}>
      {artifacts.isPending && <Loading />}
      {artifacts.error && <ErrorPanel error={artifacts.error} retry={() => void artifacts.refetch()} />}
      {artifacts.data?.results.length === 0 && <Empty title={t.noArtifacts} />}
      <ul>
        {artifacts.data?.results.map((file) => (
          <li key={file.uid} className="border-b px-4 py-2 last:border-b-0">
            <div className="flex flex-wrap items-center gap-3">
              <code className="min-w-0 grow break-all">
                {file.step}/{file.path}
              </code>
              <span className="text-muted">{bytes(file.size)}</span>
              <a className="button small" href={`/api/v1/artifacts/${file.uid}/content`} download aria-label={`${t.download} ${file.path}`}>
                <Download size={14} aria-hidden />
              </a>
            </div>
            {/\.(png|jpe?g|gif|webp)$/i.test(file.path) && <img src={`/api/v1/artifacts/${file.uid}/content?inline=1`} alt={file.path} loading="lazy" className="mt-2 max-h-80 max-w-full rounded border bg-white" />}
          </li>
        ))}
      </ul>
    </Section>
  );
}
