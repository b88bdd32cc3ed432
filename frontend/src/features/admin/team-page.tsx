import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { useFailureToast, useToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";

type Role = Schemas["MemberInputRequest"]["role"];
const ROLES: Role[] = ["viewer", "contributor", "maintainer", "owner"];

export default function TeamPage() {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const { team: slug } = useParams({ from: "/inside/$team" });
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role>("contributor");
  const options = { params: { path: { uid: slug } } };
  const team = useQuery({ queryKey: ["teams", slug], queryFn: () => take(api.GET("/api/v1/teams/{uid}", options)) });
  const members = useQuery({ queryKey: ["teams", slug, "members"], queryFn: () => take(api.GET("/api/v1/teams/{uid}/members", options)) });
  const owner = team.data?.role === "owner";
  const invitations = useQuery({ queryKey: ["teams", slug, "invitations"], enabled: owner, queryFn: () => take(api.GET("/api/v1/teams/{uid}/invitations", options)) });
  const done = () => {
    toast(t.saved);
    void queries.invalidateQueries({ queryKey: ["teams", slug] });
  };
  const invite = useMutation({ mutationFn: () => take(api.POST("/api/v1/teams/{uid}/invitations", { ...options, body: { email, role } })), onError: failed, onSuccess: done });
  const change = useMutation({
    mutationFn: ({ member, next }: { member: string; next: Role }) => take(api.PATCH("/api/v1/teams/{uid}/members/{member}", { params: { path: { uid: slug, member } }, body: { role: next } })),
    onError: failed,
    onSuccess: done,
  });
  const remove = useMutation({
    mutationFn: (member: string) => api.DELETE("/api/v1/teams/{uid}/members/{member}", { params: { path: { uid: slug, member } } }),
    onError: failed,
    onSuccess: done,
  });
  if (team.error) return <ErrorPanel error={team.error} retry={() => void team.refetch()} />;
  if (!team.data || !members.data) return <Loading />;
  return (
    <div className="space-y-5">
      <h1>{team.data.name}</h1>
      <Section title={t.members}>
        <ul>
          {members.data.results.map((member) => (
            <li key={member.uid} className="flex flex-wrap items-center gap-3 border-b px-4 py-2 last:border-b-0">
              <span className="min-w-0 grow">
                {member.user.name} <span className="text-muted">{member.user.email}</span>
              </span>
              {owner ? (
                <select className="input" aria-label={`${t.role}: ${member.user.name}`} value={member.role} onChange={(event) => change.mutate({ member: member.uid, next: event.target.value as Role })}>
                  {ROLES.map((one) => (
                    <option key={one} value={one}>
                      {t[one]}
                    </option>
                  ))}
                </select>
              ) : (
                <span>{t[member.role as Role]}</span>
              )}
              {owner && (
                <button type="button" className="button small danger" onClick={() => window.confirm(`${t.remove} ${member.user.name}?`) && remove.mutate(member.uid)}>
                  {t.remove}
                </button>
              )}
            </li>
          ))}
        </ul>
      </Section>
      {owner && (
        <Section title={t.invite}>
          <form
            className="flex flex-wrap gap-2 border-b p-4"
            onSubmit={(event) => {
              event.preventDefault();
              invite.mutate();
            }}
          >
            <input className="input w-72" type="email" placeholder={t.email} aria-label={t.email} value={email} onChange={(event) => setEmail(event.target.value)} required />
            <select className="input" aria-label={t.role} value={role} onChange={(event) => setRole(event.target.value as Role)}>
              {ROLES.map((one) => (
                <option key={one} value={one}>
                  {t[one]}
                </option>
              ))}
            </select>
            <button type="submit" className="button primary" disabled={invite.isPending}>
              {t.invite}
            </button>
          </form>
          {invitations.data?.results.length === 0 && <Empty title={t.none} />}
          <ul>
            {invitations.data?.results.map((one) => (
              <li key={one.uid} className="flex gap-3 border-b px-4 py-2 last:border-b-0">
                <span className="grow">{one.email}</span>
                <span>{t[one.role as Role]}</span>
                <Time at={one.accepted_at ?? one.expires_at} />
              </li>
            ))}
          </ul>
        </Section>
      )}
    </div>
  );
}
