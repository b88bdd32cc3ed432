import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Trash2 } from "lucide-react";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Field, Loading, Section, Time } from "@/components/basics";
import { useFailureToast, useToast } from "@/components/toasts";
import { useWords } from "@/config/i18n";

type Project = Schemas["Project"];

export function SettingsTab({ project }: { project: Project }) {
  return (
    <div className="grid items-start gap-5 xl:grid-cols-2">
      <General project={project} />
      <div className="space-y-5">
        <Secrets project={project} />
        <Members project={project} />
      </div>
    </div>
  );
}

function General({ project }: { project: Project }) {
  const t = useWords();
  const toast = useToast();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [form, setForm] = useState(project);
  const may = project.role === "maintainer" || project.role === "owner";
  const save = useMutation({
    mutationFn: () =>
      take(
        api.PATCH("/api/v1/projects/{uid}", {
          params: { path: { uid: project.uid } },
          headers: { "If-Match": `"${project.version}"` },
          body: { name: form.name, description: form.description, metric: form.metric, direction: form.direction, champion_mode: form.champion_mode, retrain_on_data: form.retrain_on_data },
        }),
      ),
    onError: failed,
    onSuccess: () => {
      toast(t.saved);
      void queries.invalidateQueries({ queryKey: ["project"] });
      void queries.invalidateQueries({ queryKey: ["projects"] });
    },
  });
  return (
    <Section title={t.general}>
      <form
        className="space-y-4 p-4"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <fieldset disabled={!may} className="space-y-4">
          <Field label={t.name}>
            <input className="input w-full" value={form.name} onChange={(event) => setForm({ ...form, name: event.target.value })} required />
          </Field>
          <Field label={t.description}>
            <textarea className="input w-full font-sans" rows={3} value={form.description} onChange={(event) => setForm({ ...form, description: event.target.value })} />
          </Field>
          <div className="grid gap-4 sm:grid-cols-2">
            <Field label={t.metric}>
              <input className="input w-full" value={form.metric} onChange={(event) => setForm({ ...form, metric: event.target.value })} />
            </Field>
            <Field label={t.direction}>
              <select className="input w-full" value={form.direction} onChange={(event) => setForm({ ...form, direction: event.target.value as Project["direction"] })}>
                <option value="maximize">{t.maximize}</option>
                <option value="minimize">{t.minimize}</option>
              </select>
            </Field>
            <Field label={t.championMode}>
              <select className="input w-full" value={form.champion_mode} onChange={(event) => setForm({ ...form, champion_mode: event.target.value as Project["champion_mode"] })}>
                <option value="automatic">{t.automatic}</option>
                <option value="manual">{t.byHand}</option>
              </select>
            </Field>
          </div>
          <label className="flex items-center gap-2">
            <input type="checkbox" checked={form.retrain_on_data} onChange={(event) => setForm({ ...form, retrain_on_data: event.target.checked })} /> {t.retrain}
          </label>
          <button type="submit" className="button primary" disabled={save.isPending}>
            {t.save}
          </button>
        </fieldset>
      </form>
    </Section>
  );
}

function Secrets({ project }: { project: Project }) {
  const t = useWords();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const key = ["projects", project.uid, "secrets"];
  const secrets = useQuery({ queryKey: key, queryFn: () => take(api.GET("/api/v1/projects/{uid}/secrets", { params: { path: { uid: project.uid } } })) });
  const done = () => void queries.invalidateQueries({ queryKey: key });
  const put = useMutation({
    mutationFn: () => take(api.PUT("/api/v1/projects/{uid}/secrets/{name}", { params: { path: { uid: project.uid, name } }, body: { value } })),
    onError: failed,
    onSuccess: () => {
      setName("");
      setValue("");
      done();
    },
  });
  const remove = useMutation({
    mutationFn: (one: string) => api.DELETE("/api/v1/projects/{uid}/secrets/{name}", { params: { path: { uid: project.uid, name: one } } }),
    onError: failed,
    onSuccess: done,
  });
  const may = project.role === "maintainer" || project.role === "owner";
  return (
    <Section title={t.secrets}>
      <p className="border-b px-4 py-2.5 text-muted">{t.secretHint}</p>
      {secrets.isPending && <Loading />}
      {secrets.error && <ErrorPanel error={secrets.error} />}
      {secrets.data?.results.length === 0 && <Empty title={t.none} />}
      <ul>
        {secrets.data?.results.map((secret) => (
          <li key={secret.uid} className="flex items-center gap-3 border-b px-4 py-2">
            <code className="min-w-0 grow truncate">{secret.name}</code>
            <span className="text-muted">{secret.changed_by.replace("user:", "")}</span>
            <Time at={secret.updated_at} />
            {may && (
              <button type="button" className="button plain small" aria-label={`${t.remove} ${secret.name}`} onClick={() => remove.mutate(secret.name)}>
                <Trash2 size={15} aria-hidden />
              </button>
            )}
          </li>
        ))}
      </ul>
      {may && (
        <form
          className="flex flex-wrap gap-2 p-4"
          onSubmit={(event) => {
            event.preventDefault();
            put.mutate();
          }}
        >
          <input className="input w-40 font-mono" placeholder="API_KEY" aria-label={t.name} value={name} onChange={(event) => setName(event.target.value.toUpperCase())} required />
          <input className="input grow" type="password" autoComplete="off" placeholder={t.value} aria-label={t.value} value={value} onChange={(event) => setValue(event.target.value)} required />
          <button type="submit" className="button primary" disabled={put.isPending}>
            {t.save}
          </button>
        </form>
      )}
    </Section>
  );
}

function Members({ project }: { project: Project }) {
  const t = useWords();
  const failed = useFailureToast();
  const queries = useQueryClient();
  const [username, setUsername] = useState("");
  const [role, setRole] = useState<"viewer" | "contributor" | "maintainer" | "owner">("contributor");
  const key = ["projects", project.uid, "members"];
  const members = useQuery({ queryKey: key, queryFn: () => take(api.GET("/api/v1/projects/{uid}/members", { params: { path: { uid: project.uid } } })) });
  const done = () => void queries.invalidateQueries({ queryKey: key });
  const add = useMutation({
    mutationFn: () => take(api.POST("/api/v1/projects/{uid}/members", { params: { path: { uid: project.uid } }, body: { username, role } })),
    onError: failed,
    onSuccess: () => {
      setUsername("");
      done();
    },
  });
  const remove = useMutation({
    mutationFn: (member: string) => api.DELETE("/api/v1/projects/{uid}/members/{member}", { params: { path: { uid: project.uid, member } } }),
    onError: failed,
    onSuccess: done,
  });
  return (
    <Section title={t.members}>
      {members.data?.results.length === 0 && <Empty title={t.none} />}
      <ul>
        {members.data?.results.map((member) => (
          <li key={member.uid} className="flex items-center gap-3 border-b px-4 py-2">
            <span className="grow">{member.user.name}</span>
            <span className="text-muted">{t[member.role as keyof typeof t] ?? member.role}</span>
            {project.role === "owner" && (
              <button type="button" className="button plain small" aria-label={`${t.remove} ${member.user.name}`} onClick={() => remove.mutate(member.uid)}>
                <Trash2 size={15} aria-hidden />
              </button>
            )}
          </li>
        ))}
      </ul>
      {project.role === "owner" && (
        <form
          className="flex flex-wrap gap-2 p-4"
          onSubmit={(event) => {
            event.preventDefault();
            add.mutate();
          }}
        >
          <input className="input grow" placeholder={t.name} aria-label={t.name} value={username} onChange={(event) => setUsername(event.target.value)} required />
          <select className="input" aria-label={t.role} value={role} onChange={(event) => setRole(event.target.value as typeof role)}>
            {(["viewer", "contributor", "maintainer", "owner"] as const).map((one) => (
              <option key={one} value={one}>
                {t[one]}
              </option>
            ))}
          </select>
          <button type="submit" className="button" disabled={add.isPending}>
            {t.save}
          </button>
        </form>
      )}
    </Section>
  );
}
