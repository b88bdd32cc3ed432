import { useQuery } from "@tanstack/react-query";
import { api, take } from "@/api/client";
import { ErrorPanel, Loading, Section } from "@/components/basics";
import { Status } from "@/components/status";
import { useWords } from "@/config/i18n";

export default function SystemPage() {
  const t = useWords();
  const system = useQuery({ queryKey: ["system"], refetchInterval: 10_000, queryFn: () => take(api.GET("/api/v1/system")) });
  if (system.error) return <ErrorPanel error={system.error} retry={() => void system.refetch()} />;
  if (!system.data) return <Loading />;
  return (
    <div className="space-y-5">
      <div>
        <h1>{t.system}</h1>
        <p className="text-muted">
          {t.version} {system.data.version} · {system.data.gateway_url} ·{" "}
          <a className="link" href="/api/v1/docs">
            API
          </a>
        </p>
      </div>
      <Section title={t.part}>
        <table className="table">
          <thead>
            <tr>
              <th>{t.part}</th>
              <th>{t.state}</th>
              <th className="w-full">{t.details}</th>
            </tr>
          </thead>
          <tbody>
            {system.data.parts.map((part) => (
              <tr key={part.name}>
                <td className="font-medium whitespace-nowrap">{part.name}</td>
                <td>
                  <Status status={part.ok ? "True" : part.needed ? "False" : "interrupted"} label={part.ok ? t.works : t.broken} />
                </td>
                <td className="text-muted">{part.message}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Section>
    </div>
  );
}
