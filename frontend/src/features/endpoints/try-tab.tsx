import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, type Schemas, take } from "@/api/client";
import { Command, ErrorPanel, Field, Section } from "@/components/basics";
import { seconds } from "@/config/format";
import { useWords } from "@/config/i18n";
import { snippets } from "./snippets";

type Method = "GET" | "POST" | "PUT" | "DELETE";

export function TryTab({ endpoint }: { endpoint: Schemas["Endpoint"] }) {
  const t = useWords();
  const known = useQuery({
    queryKey: ["endpoints", endpoint.uid, "known-request"],
    queryFn: async () => {
      const runs = await take(api.GET("/api/v1/verifications", { params: { query: { project: endpoint.project.path, status: ["passed"] } } }));
      return (runs.results[0]?.checks as { method: string; path: string; json: unknown; has_json: boolean }[] | undefined)?.[0] ?? null;
    },
  });
  const [method, setMethod] = useState<Method>();
  const [path, setPath] = useState<string>();
  const [body, setBody] = useState<string>();
  const shown = {
    method: method ?? ((known.data?.method as Method | undefined) ?? "GET"),
    path: path ?? known.data?.path ?? "/",
    body: body ?? (known.data?.has_json ? JSON.stringify(known.data.json, null, 2) : ""),
  };
  const send = useMutation({
    mutationFn: () => {
      const json = parsed(shown.body);
      const content = shown.body === "" ? {} : json === undefined ? { body: shown.body } : { json };
      return take(api.POST("/api/v1/endpoints/{uid}/try", { params: { path: { uid: endpoint.uid } }, body: { method: shown.method, path: shown.path, headers: {}, ...content } as never }));
    },
  });
  return (
    <div className="grid items-start gap-5 xl:grid-cols-2">
      <Section title={t.tryIt}>
        <form
          className="space-y-3 p-4"
          onSubmit={(event) => {
            event.preventDefault();
            send.mutate();
          }}
        >
          <div className="flex gap-2">
            <select className="input" aria-label={t.method} value={shown.method} onChange={(event) => setMethod(event.target.value as Method)}>
              {(["GET", "POST", "PUT", "DELETE"] as const).map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
            <input className="input grow font-mono" aria-label={t.path} value={shown.path} onChange={(event) => setPath(event.target.value)} />
            <button type="submit" className="button primary" disabled={send.isPending}>
              {t.send}
            </button>
          </div>
          <Field label={t.body}>
            <textarea className="input w-full" rows={8} value={shown.body} onChange={(event) => setBody(event.target.value)} />
          </Field>
        </form>
        {send.error && <ErrorPanel error={send.error} />}
        {send.data && (
          <div className="border-t p-4" aria-live="polite">
            <p className="mb-2">
              <b className={send.data.status < 400 ? "text-good" : "text-bad"}>{send.data.status}</b> <span className="text-muted">{seconds(send.data.elapsed_s)}</span>
            </p>
            <pre className="max-h-80 overflow-auto rounded bg-code p-3 whitespace-pre-wrap" tabIndex={0} aria-label={t.answer}>
              {pretty(send.data.body)}
            </pre>
          </div>
        )}
      </Section>
      <Section title={t.snippets}>
        <div className="space-y-4 p-4">
          {snippets(endpoint.url ?? "", shown, endpoint.auth === "key").map(([name, code]) => (
            <div key={name}>
              <h3 className="mb-1">{name}</h3>
              <Command>{code}</Command>
            </div>
          ))}
        </div>
      </Section>
    </div>
  );
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value) as unknown;
  } catch {
    return undefined;
  }
}

function pretty(value: string): string {
  const json = parsed(value);
  return json === undefined ? value : JSON.stringify(json, null, 2);
}
