import { X } from "lucide-react";
import { type ReactNode, useEffect, useId, useRef } from "react";
import { useWords } from "@/config/i18n";

/** A modal dialog on the platform's own element: focus stays inside, Escape closes. */
export function Dialog({ open, onClose, title, children, wide }: { open: boolean; onClose: () => void; title: string; children: ReactNode; wide?: boolean }) {
  const t = useWords();
  const id = useId();
  const box = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = box.current;
    if (open && dialog && !dialog.open) dialog.showModal();
  }, [open]);
  if (!open) return null;
  return (
    <dialog
      ref={box}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onClick={(event) => event.target === box.current && onClose()}
      className={`m-auto mt-[8vh] max-h-[84vh] w-[calc(100vw-2rem)] overflow-y-auto rounded-xl border bg-raised p-0 text-text shadow-[var(--shadow)] backdrop:bg-black/40 ${wide ? "max-w-3xl" : "max-w-lg"}`}
    >
      <div className="p-5">
        <div className="mb-3 flex items-center gap-3">
          <h2 id={id} className="grow text-[1.1rem]">
            {title}
          </h2>
          <button type="button" className="button plain small" aria-label={t.close} onClick={onClose}>
            <X size={16} aria-hidden />
          </button>
        </div>
        {children}
      </div>
    </dialog>
  );
}
