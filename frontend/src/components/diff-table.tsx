import { useWords } from "@/config/i18n";

/** Differences as rows: where, what it was or should be, what it is. Text only, never HTML. */
export function DiffTable({ rows, left, right }: { rows: { place: string; left: string; right: string }[]; left?: string; right?: string }) {
  const t = useWords();
  return (
    <div className="mt-2 overflow-x-auto rounded border">
      <table className="table">
        <thead>
          <tr>
            <th>{t.place}</th>
            <th>{left ?? t.from}</th>
            <th>{right ?? t.to}</th>
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row.place}>
              <td>
                <code>{row.place}</code>
              </td>
              <td className="bg-good-soft/60">
                <code className="break-all">{row.left}</code>
              </td>
              <td className="bg-bad-soft/60">
                <code className="break-all">{row.right}</code>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
