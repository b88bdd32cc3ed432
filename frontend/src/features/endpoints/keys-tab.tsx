import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Command, Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { useFailureToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";

export function KeysTab({ endpoint, may }: { endpoint: Schemas["Endpoint"]; may: boolean }) {
  const t = useWords();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [token, setToken] = useState("");
  const key = ["endpoints", endpoint.uid, "keys"];
  const keys = useQuery({ queryKey: key, queryFn: () => take(api.GET("/api/v1/endpoints/{uid}/keys", { params: { path: { uid: endpoint.uid } } })) });
  const create = useMutation({
    mutationFn: () => take(api.POST("/api/v1/endpoints/{uid}/keys", { params: { path: { uid: endpoint.uid } }, body: { name } })),
    onError: failed,
    onSuccess: (made) => {
      setName("");
      setToken(made.token);
      void queries.invalidateQueries({ queryKey: key });
    },
  });
  const revoke = useMutation({
    mutationFn: (uid: string) => api.DELETE("/api/v1/keys/{uid}", { params: { path: { uid } } }),
    onError: failed,
    onSuccess: () => void queries.invalidateQueries({ queryKey: key }),
  });
  return (
    <Section title={t.keys}>
      {token && (
        <div className="border-b bg-good-soft p-4">
          <p className="mb-2 text-good">{t.shownOnce}</p>
          <Command>{token}</Command>
        </div>
      )}
      {keys.isPending && <Loading />}
      {keys.error && <ErrorPanel error={keys.error} retry={() => void keys.refetch()} />}
      {keys.data?.results.length === 0 && <Empty title={t.none} />}
      <ul>
        {keys.data?.results.map((one) => (
          <li key={one.uid} className="flex flex-wrap items-center gap-3 border-b px-4 py-2">
            <span className="min-w-0 grow font-medium break-words">{one.name}</span>
            <span className="text-muted">{one.created_by.replace("user:", "")}</span>
            <span className="text-muted">
              {t.expires} {one.expires_at ? <Time at={one.expires_at} /> : t.never}
            </span>
            {one.revoked_at ? (
              <span className="text-bad">{t.revoked}</span>
            ) : (
              may && (
                <button type="button" className="button small danger" onClick={() => window.confirm(`${t.revoke} ${one.name}?`) && revoke.mutate(one.uid)}>
                  {t.revoke}
                </button>
              )
            )}
          </li>
        ))}
      </ul>
      {may && (
        <form
          className="flex gap-2 p-4"
          onSubmit={(event) => {
            event.preventDefault();
            create.mutate();
          }}
        >
          <input className="input w-64" placeholder={t.name} aria-label={t.name} value={name} onChange={(event) => setName(event.target.value)} required />
          <button type="submit" className="button primary" disabled={create.isPending}>
            {t.newKey}
          </button>
        </form>
      )}
    </Section>
  );
}
