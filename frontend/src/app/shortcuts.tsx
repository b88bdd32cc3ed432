import { Dialog } from "@/components/dialog";
import { useWords } from "@/config/i18n";

export function Shortcuts({ open, onClose }: { open: boolean; onClose: () => void }) {
  const t = useWords();
  const rows: [string, string][] = [
    ["Ctrl K", t.shortcutsPalette],
    ["/", t.shortcutsSearch],
    ["g h", t.shortcutsHome],
    ["?", t.shortcutsHelp],
  ];
  return (
    <Dialog open={open} onClose={onClose} title={t.help}>
      <dl className="grid grid-cols-[6rem_1fr] gap-2">
        {rows.map(([key, words]) => (
          <div key={key} className="contents">
            <dt>
              <kbd className="rounded border bg-code px-1.5 py-0.5">{key}</kbd>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}
