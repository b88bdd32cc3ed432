import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Command, Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { useFailureToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";

type Scope = Schemas["TokenInputRequest"]["scope"];

export default function TokensPage() {
  const t = useWords();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [scope, setScope] = useState<Scope>("submit");
  const [days, setDays] = useState("90");
  const [token, setToken] = useState("");
  const tokens = useQuery({ queryKey: ["tokens"], queryFn: () => take(api.GET("/api/v1/tokens")) });
  const create = useMutation({
    mutationFn: () =>
      take(api.POST("/api/v1/tokens", { body: { name, scope, team: "", project: "", role: "" as never, expires_at: days ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : null } })),
    onError: failed,
    onSuccess: (made) => {
      setName("");
      setToken(made.token);
      void queries.invalidateQueries({ queryKey: ["tokens"] });
    },
  });
  const revoke = useMutation({
    mutationFn: (uid: string) => api.DELETE("/api/v1/tokens/{uid}", { params: { path: { uid } } }),
    onError: failed,
    onSuccess: () => void queries.invalidateQueries({ queryKey: ["tokens"] }),
  });
  return (
    <div className="space-y-5">
      <h1>{t.tokens}</h1>
      <Section title={t.newToken}>
        {token && (
          <div className="border-b bg-good-soft p-4">
            <p className="mb-2 text-good">{t.shownOnce}</p>
            <Command>{token}</Command>
          </div>
        )}
        <form
          className="flex flex-wrap items-end gap-3 p-4"
          onSubmit={(event) => {
            event.preventDefault();
            create.mutate();
          }}
        >
          <label>
            <span className="label">{t.name}</span>
            <input className="input w-56" value={name} onChange={(event) => setName(event.target.value)} required />
          </label>
          <label>
            <span className="label">{t.scope}</span>
            <select className="input" value={scope} onChange={(event) => setScope(event.target.value as Scope)}>
              {["read", "submit", "deploy", "admin"].map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </label>
          <label>
            <span className="label">{t.expires}</span>
            <select className="input" value={days} onChange={(event) => setDays(event.target.value)}>
              <option value="7">7 d</option>
              <option value="90">90 d</option>
              <option value="365">365 d</option>
              <option value="">{t.never}</option>
            </select>
          </label>
          <button type="submit" className="button primary" disabled={create.isPending}>
            {t.create}
          </button>
        </form>
      </Section>
      <Section title={t.tokens}>
        {tokens.isPending && <Loading />}
        {tokens.error && <ErrorPanel error={tokens.error} retry={() => void tokens.refetch()} />}
        {tokens.data?.results.length === 0 && <Empty title={t.none} />}
        {tokens.data && tokens.data.results.length > 0 && (
          <table className="table">
            <thead>
              <tr>
                <th className="w-full">{t.name}</th>
                <th>{t.type}</th>
                <th>{t.scope}</th>
                <th>{t.lastUsed}</th>
                <th>{t.expires}</th>
                <th>
                  <span className="sr-only">{t.action}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {tokens.data.results.map((one) => (
                <tr key={one.uid}>
                  <td>
                    {one.name} <code className="text-muted">hkt_{one.prefix}</code>
                  </td>
                  <td className="whitespace-nowrap">{one.kind === "service" ? `${t.service}: ${one.team?.slug}` : t.personal}</td>
                  <td>{one.scope}</td>
                  <td>
                    <Time at={one.last_used_at} />
                  </td>
                  <td>{one.expires_at ? <Time at={one.expires_at} /> : t.never}</td>
                  <td>
                    {one.revoked_at ? (
                      <span className="text-bad">{t.revoked}</span>
                    ) : (
                      <button type="button" className="button small danger" onClick={() => window.confirm(`${t.revoke} ${one.name}?`) && revoke.mutate(one.uid)}>
                        {t.revoke}
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </Section>
    </div>
  );
}
