import { createContext, type ReactNode, useCallback, useContext, useState } from "react";
import { ApiError } from "@/api/client";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}
const Context = createContext<(text: string, bad?: boolean) => void>(() => undefined);

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, set] = useState<Toast[]>([]);
  const show = useCallback((text: string, bad = false) => {
    const id = Date.now() + Math.random();
    set((all) => [...all.slice(-3), { id, text, bad }]);
    window.setTimeout(() => set((all) => all.filter((toast) => toast.id !== id)), bad ? 8000 : 3500);
  }, []);
  return (
    <Context value={show}>
      {children}
      <div aria-live="polite" className="fixed right-4 bottom-4 z-60 flex w-[min(24rem,calc(100vw-2rem))] flex-col gap-2">
        {toasts.map((toast) => (
          <div key={toast.id} className={`rounded-lg border bg-raised px-4 py-2.5 shadow-[var(--shadow)] ${toast.bad ? "border-bad/60 text-bad" : ""}`}>
            {toast.text}
          </div>
        ))}
      </div>
    </Context>
  );
}

export function useToast() {
  return useContext(Context);
}

/** What a mutation does on failure: say it, in the server's words. */
export function useFailureToast(): (error: unknown) => void {
  const show = useToast();
  return useCallback(
    (error: unknown) => {
      const first = error instanceof ApiError ? error.problems[0] : undefined;
      show(first ? `${first.field ?? ""} ${first.message}` : error instanceof Error ? error.message : String(error), true);
    },
    [show],
  );
}
