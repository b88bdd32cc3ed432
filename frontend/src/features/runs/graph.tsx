import { Handle, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { useMemo } from "react";
import type { Schemas } from "@/api/client";
import { Status } from "@/components/status";
import { seconds } from "@/config/format";
import { layers } from "./layout";

type Step = Schemas["Step"];
type StepNode = Node<{ step: Step; chosen: boolean; choose: (name: string) => void }, "step">;

function StepBox({ data }: NodeProps<StepNode>) {
  return (
    <button
      type="button"
      onClick={() => data.choose(data.step.name)}
      aria-pressed={data.chosen}
      className={`flex w-48 flex-col items-start gap-1 rounded-lg border bg-raised px-3 py-2 text-left ${data.chosen ? "border-accent ring-2 ring-accent/40" : ""}`}
    >
      <Handle type="target" position={Position.Left} className="!border-0 !bg-transparent" />
      <span className="w-full truncate font-medium">{data.step.name}</span>
      <span className="flex w-full items-center gap-2">
        <Status status={data.step.status} />
        <span className="text-[.85rem] whitespace-nowrap text-muted">{data.step.duration_s == null ? "" : seconds(data.step.duration_s)}</span>
      </span>
      <Handle type="source" position={Position.Right} className="!border-0 !bg-transparent" />
    </button>
  );
}

const nodeTypes = { step: StepBox };

export default function Graph({ steps, chosen, onChoose }: { steps: Step[]; chosen: string | undefined; onChoose: (name: string) => void }) {
  const places = useMemo(() => layers(steps.map((step) => ({ name: step.name, needs: step.needs as string[] }))), [steps]);
  const height = Math.max(1, ...[...places.values()].map((place) => place.row + 1)) * 88 + 40;
  const nodes: StepNode[] = steps.map((step) => {
    const place = places.get(step.name) ?? { column: 0, row: 0 };
    return { id: step.name, type: "step", position: { x: place.column * 240, y: place.row * 88 }, data: { step, chosen: step.name === chosen, choose: onChoose }, draggable: false, connectable: false };
  });
  const edges = steps.flatMap((step) =>
    (step.needs as string[]).map((need) => ({ id: `${need}-${step.name}`, source: need, target: step.name, animated: ["running", "starting"].includes(step.status), style: { stroke: "var(--line-strong)" } })),
  );
  return (
    <div style={{ height: Math.min(460, height) }}>
      <ReactFlow nodes={nodes} edges={edges} nodeTypes={nodeTypes} fitView fitViewOptions={{ padding: 0.08, maxZoom: 1 }} minZoom={0.2} maxZoom={1.2} proOptions={{ hideAttribution: true }} nodesFocusable={false} edgesFocusable={false} zoomOnScroll={false} preventScrolling={false} />
    </div>
  );
}
