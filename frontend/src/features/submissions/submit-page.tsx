import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useRef, useState } from "react";
import { type Schemas, upload } from "@/api/client";
import { meQuery } from "@/api/queries";
import { Command, ErrorPanel, Field, Section } from "@/components/basics";
import { useWords } from "@/config/i18n";
import { folderEntries, tar } from "./tar";

export default function SubmitPage() {
  const t = useWords();
  const me = useQuery(meQuery);
  const navigate = useNavigate();
  const queries = useQueryClient();
  const archive = useRef<HTMLInputElement>(null);
  const folder = useRef<HTMLInputElement>(null);
  const [team, setTeam] = useState("");
  const [message, setMessage] = useState("");
  const [part, setPart] = useState<number>();
  const teams = me.data?.teams ?? [];
  const send = useMutation({
    mutationFn: async () => {
      const picked = folder.current?.files?.length ? tar(await folderEntries(folder.current.files)) : archive.current?.files?.[0];
      if (!picked) throw new Error(t.chooseFile);
      const form = new FormData();
      form.set("snapshot", picked, "snapshot.tar");
      form.set("team", team || (teams[0]?.team.slug ?? ""));
      form.set("message", message);
      return upload<Schemas["RunDetail"]>("/api/v1/submissions", form, setPart);
    },
    onSuccess: (run) => {
      void queries.invalidateQueries();
      const [owner = "", project = ""] = run.project.path.split("/");
      void navigate({ to: "/$team/$project/runs/$number", params: { team: owner, project, number: String(run.number) } });
    },
    onSettled: () => setPart(undefined),
  });
  return (
    <div className="mx-auto max-w-2xl space-y-5">
      <h1>{t.submit}</h1>
      <Section title={t.chooseFile}>
        <form
          className="space-y-4 p-4"
          onSubmit={(event) => {
            event.preventDefault();
            send.mutate();
          }}
        >
          <p className="text-muted">{t.submitHint}</p>
          <Field label={t.folder}>
            <input ref={folder} type="file" className="input w-full pt-1" multiple {...{ webkitdirectory: "" }} />
          </Field>
          <Field label={`${t.dropHere} (tar, tar.gz)`}>
            <input ref={archive} type="file" className="input w-full pt-1" accept=".tar,.gz,.tgz" />
          </Field>
          {teams.length > 1 && (
            <Field label={t.team}>
              <select className="input w-full" value={team} onChange={(event) => setTeam(event.target.value)}>
                {teams.map((one) => (
                  <option key={one.team.uid} value={one.team.slug}>
                    {one.team.name}
                  </option>
                ))}
              </select>
            </Field>
          )}
          <Field label={t.message}>
            <input className="input w-full" value={message} maxLength={500} onChange={(event) => setMessage(event.target.value)} />
          </Field>
          {send.error && <ErrorPanel error={send.error} />}
          <button type="submit" className="button primary" disabled={send.isPending}>
            {send.isPending ? `${t.uploading} ${Math.round((part ?? 0) * 100)}%` : t.submit}
          </button>
        </form>
      </Section>
      <Command>hekaton submit --follow</Command>
    </div>
  );
}
