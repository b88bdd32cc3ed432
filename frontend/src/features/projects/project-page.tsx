import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { projectQuery } from "@/api/queries";
import { ErrorPanel, Loading } from "@/components/basics";
import { Tabs } from "@/components/tabs";
import { useWords } from "@/config/i18n";
import { DataTab } from "./data-tab";
import { EndpointsTab } from "./endpoints-tab";
import { LeaderboardTab } from "./leaderboard-tab";
import { RunsTab } from "./runs-tab";
import { SettingsTab } from "./settings-tab";
import { TriggersTab } from "./triggers-tab";

export default function ProjectPage() {
  const t = useWords();
  const { team, project: slug } = useParams({ from: "/inside/$team/$project" });
  const search = useSearch({ from: "/inside/$team/$project" });
  const navigate = useNavigate({ from: "/$team/$project" });
  const project = useQuery(projectQuery(team, slug));
  if (project.error) return <ErrorPanel error={project.error} retry={() => void project.refetch()} />;
  if (!project.data) return <Loading />;
  const found = project.data;
  return (
    <div>
      <div className="mb-4">
        <p className="text-muted">{found.team.name}</p>
        <h1 className="break-words">{found.name}</h1>
        {found.description && <p className="mt-1 max-w-3xl text-muted">{found.description}</p>}
      </div>
      <Tabs
        value={search.tab ?? "runs"}
        onChange={(tab) => void navigate({ search: { tab } })}
        tabs={[
          { id: "runs", label: t.runs, content: () => <RunsTab project={found} /> },
          { id: "leaderboard", label: t.leaderboard, content: () => <LeaderboardTab project={found} /> },
          { id: "endpoints", label: t.endpoints, content: () => <EndpointsTab project={found} /> },
          { id: "data", label: t.data, content: () => <DataTab project={found} /> },
          { id: "triggers", label: t.triggers, content: () => <TriggersTab project={found} /> },
          { id: "settings", label: t.settings, content: () => <SettingsTab project={found} /> },
        ]}
      />
    </div>
  );
}
