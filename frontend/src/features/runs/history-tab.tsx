import { api, type Schemas, take } from "@/api/client";
import { History } from "@/components/history";

export function HistoryTab({ run }: { run: Schemas["RunDetail"] }) {
  return <History queryKey={["runs", run.uid, "events"]} load={() => take(api.GET("/api/v1/runs/{uid}/events", { params: { path: { uid: run.uid }, query: { limit: 200 } } }))} />;
}
