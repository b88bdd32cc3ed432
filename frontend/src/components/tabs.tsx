import { Tabs as Radix } from "radix-ui";
import type { ReactNode } from "react";

export interface Tab {
  id: string;
  label: string;
  content: () => ReactNode;
}

/** Tabs whose choice lives with the caller (in the URL). Only the chosen one is rendered. */
export function Tabs({ tabs, value, onChange }: { tabs: Tab[]; value: string; onChange: (id: string) => void }) {
  const chosen = tabs.find((tab) => tab.id === value) ?? tabs[0];
  if (!chosen) return null;
  return (
    <Radix.Root value={chosen.id} onValueChange={onChange}>
      <Radix.List className="mb-4 flex gap-1 overflow-x-auto border-b">
        {tabs.map((tab) => (
          <Radix.Trigger
            key={tab.id}
            value={tab.id}
            className="-mb-px border-b-2 border-transparent px-3 py-2 font-medium whitespace-nowrap text-muted hover:text-text data-[state=active]:border-accent data-[state=active]:text-text"
          >
            {tab.label}
          </Radix.Trigger>
        ))}
      </Radix.List>
      <Radix.Content value={chosen.id} className="outline-none">
        {chosen.content()}
      </Radix.Content>
    </Radix.Root>
  );
}
