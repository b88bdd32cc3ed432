import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { api, type Schemas, take, upload } from "@/api/client";
import { Command, Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { useFailureToast, useToast } from "@/components/toasts";
import { bytes } from "@/config/format";
import { useWords } from "@/config/i18n";

export function DataTab({ project }: { project: Schemas["Project"] }) {
  const t = useWords();
  const datasets = useQuery({ queryKey: ["projects", project.uid, "datasets"], queryFn: () => take(api.GET("/api/v1/datasets", { params: { query: { project: project.path } } })) });
  const [team = "", slug = ""] = project.path.split("/");
  return (
    <div className="space-y-5">
      <Section title={t.data}>
        {datasets.isPending && <Loading />}
        {datasets.error && <ErrorPanel error={datasets.error} retry={() => void datasets.refetch()} />}
        {datasets.data?.results.length === 0 && (
          <Empty title={t.pushHint}>
            <Command>{`hekaton data push ${project.slug}/train data/train`}</Command>
          </Empty>
        )}
        {datasets.data && datasets.data.results.length > 0 && (
          <table className="table">
            <thead>
              <tr>
                <th className="w-full">{t.name}</th>
                <th>{t.version}</th>
                <th>{t.size}</th>
                <th>{t.author}</th>
                <th>{t.created}</th>
              </tr>
            </thead>
            <tbody>
              {datasets.data.results.map((dataset) => (
                <tr key={dataset.uid}>
                  <td>
                    {dataset.latest ? (
                      <Link className="link font-medium" to="/$team/$project/data/$version" params={{ team, project: slug, version: dataset.latest.uid }}>
                        {dataset.slug}
                      </Link>
                    ) : (
                      dataset.slug
                    )}
                  </td>
                  <td>{dataset.last_version || "-"}</td>
                  <td className="whitespace-nowrap">{bytes(dataset.latest?.size)}</td>
                  <td className="whitespace-nowrap">{dataset.latest?.created_by.replace("user:", "")}</td>
                  <td>
                    <Time at={dataset.latest?.created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Section>
      {project.role !== "viewer" && <Push project={project} />}
    </div>
  );
}

function Push({ project }: { project: Schemas["Project"] }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const files = useRef<HTMLInputElement>(null);
  const [name, setName] = useState("");
  const [part, setPart] = useState<number>();
  const push = useMutation({
    mutationFn: async () => {
      const dataset = await take(api.POST("/api/v1/datasets", { body: { project: project.path, slug: name, description: "" } }));
      const form = new FormData();
      for (const file of files.current?.files ?? []) {
        form.append("files", file);
        form.append("paths", file.name);
      }
      return upload(`/api/v1/datasets/${dataset.uid}/versions`, form, setPart);
    },
    onError: failed,
    onSuccess: () => {
      toast(t.saved);
      setName("");
      void queries.invalidateQueries({ queryKey: ["projects", project.uid, "datasets"] });
    },
    onSettled: () => setPart(undefined),
  });
  return (
    <Section title={t.newDataset}>
      <form
        className="flex flex-wrap items-end gap-3 p-4"
        onSubmit={(event) => {
          event.preventDefault();
          push.mutate();
        }}
      >
        <label>
          <span className="label">{t.datasetName}</span>
          <input className="input w-56" placeholder={`${project.slug}/train`} value={name} onChange={(event) => setName(event.target.value)} required />
        </label>
        <label>
          <span className="label">{t.files}</span>
          <input ref={files} type="file" multiple required className="input pt-1" />
        </label>
        <button type="submit" className="button primary" disabled={push.isPending}>
          {part === undefined ? t.upload : `${t.uploading} ${Math.round(part * 100)}%`}
        </button>
      </form>
    </Section>
  );
}
