import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Command, Empty, ErrorPanel, Loading, Section } from "@/components/basics";
import { EndpointRow } from "@/components/endpoint-row";
import { useFailureToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";

export function EndpointsTab({ project }: { project: Schemas["Project"] }) {
  const t = useWords();
  const queries = useQueryClient();
  const failed = useFailureToast();
  const [slug, setSlug] = useState("");
  const endpoints = useQuery({ queryKey: ["endpoints", project.path], refetchInterval: 5000, queryFn: () => take(api.GET("/api/v1/endpoints", { params: { query: { project: project.path } } })) });
  const create = useMutation({
    mutationFn: () => take(api.POST("/api/v1/endpoints", { body: { project: project.path, slug, auth: "key", follows_champion: false } })),
    onError: failed,
    onSuccess: () => {
      setSlug("");
      void queries.invalidateQueries({ queryKey: ["endpoints"] });
    },
  });
  const may = project.role === "maintainer" || project.role === "owner";
  return (
    <Section
      title={t.endpoints}
      actions={
        may && (
          <form
            className="flex gap-2"
            onSubmit={(event) => {
              event.preventDefault();
              create.mutate();
            }}
          >
            <input className="input w-36" placeholder={t.name} aria-label={t.name} value={slug} onChange={(event) => setSlug(event.target.value)} />
            <button type="submit" className="button" disabled={!slug || create.isPending}>
              {t.create}
            </button>
          </form>
        )
      }
    >
      {endpoints.isPending && <Loading />}
      {endpoints.error && <ErrorPanel error={endpoints.error} retry={() => void endpoints.refetch()} />}
      {endpoints.data?.results.length === 0 && (
        <Empty title={t.noEndpoints}>
          <Command>{`hekaton deploy ${project.slug} --run 1`}</Command>
        </Empty>
      )}
      <ul>
        {endpoints.data?.results.map((endpoint) => (
          <EndpointRow key={endpoint.uid} endpoint={endpoint} />
        ))}
      </ul>
    </Section>
  );
}
