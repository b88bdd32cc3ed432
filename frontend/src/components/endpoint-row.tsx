import { Link } from "@tanstack/react-router";
import type { Schemas } from "@/api/client";
import { useWords } from "@/config/i18n";
import { Status } from "./status";

export type EndpointItem = Schemas["Endpoint"];

export function EndpointRow({ endpoint }: { endpoint: EndpointItem }) {
  const t = useWords();
  const [team = "", project = ""] = endpoint.project.path.split("/");
  const ready = endpoint.conditions.find((condition) => condition.type === "Ready");
  const words = endpoint.rollout?.message || endpoint.following_paused || ready?.message || "";
  return (
    <li className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b px-4 py-2.5 last:border-b-0">
      <Status status={endpoint.ready} label={endpoint.ready === "True" ? t.ready : endpoint.ready === "False" ? t.notReady : t.unknown} />
      <Link className="link font-medium" to="/$team/$project/endpoints/$endpoint" params={{ team, project, endpoint: endpoint.slug }}>
        {endpoint.project.path}/{endpoint.slug}
      </Link>
      <span className="min-w-0 grow basis-52 truncate text-muted" title={words}>
        {words}
      </span>
      <span className="whitespace-nowrap text-muted">
        {endpoint.replicas} {t.replicas}
      </span>
    </li>
  );
}
