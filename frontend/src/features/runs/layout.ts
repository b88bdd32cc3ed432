/** Columns by longest path from a root, rows by order within a column. */
export interface Place {
  column: number;
  row: number;
}

export function layers(steps: { name: string; needs: string[] }[]): Map<string, Place> {
  const column = new Map<string, number>();
  const byName = new Map(steps.map((step) => [step.name, step]));
  function depth(name: string, seen: Set<string>): number {
    const known = column.get(name);
    if (known !== undefined) return known;
    if (seen.has(name)) return 0;
    const needs = (byName.get(name)?.needs ?? []).filter((need) => byName.has(need));
    const found = needs.length === 0 ? 0 : 1 + Math.max(...needs.map((need) => depth(need, new Set([...seen, name]))));
    column.set(name, found);
    return found;
  }
  const filled = new Map<number, number>();
  const places = new Map<string, Place>();
  for (const step of steps) {
    const at = depth(step.name, new Set());
    const row = filled.get(at) ?? 0;
    filled.set(at, row + 1);
    places.set(step.name, { column: at, row });
  }
  return places;
}
