import { Check, Copy, LoaderCircle } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { ApiError } from "@/api/client";
import { ago } from "@/config/format";
import { useLanguage, useWords } from "@/config/i18n";

export function Loading() {
  const t = useWords();
  return (
    <div role="status" className="flex items-center gap-2 p-6 text-muted">
      <LoaderCircle size={16} className="animate-spin" aria-hidden /> {t.loading}
    </div>
  );
}

/** A failed load or action: forbidden, not found, unreachable, or the server's own words. */
export function ErrorPanel({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = useWords();
  const known = error instanceof ApiError ? error : undefined;
  const title = known?.status === 404 ? t.notFound : known?.status === 403 ? t.forbidden : t.error;
  return (
    <div role="alert" className="panel m-0 border-bad/40 p-4">
      <h2>{title}</h2>
      {known?.status !== 404 && <p className="mt-1 text-muted">{error instanceof Error ? error.message : String(error)}</p>}
      {known && known.problems.length > 0 && (
        <ul className="mt-2 list-disc pl-5">
          {known.problems.map((problem, index) => (
            <li key={index}>
              {problem.line ? <span className="text-muted">line {problem.line}: </span> : null}
              {problem.field ? <code>{problem.field}</code> : null} {problem.message} {problem.hint ?? ""}
            </li>
          ))}
        </ul>
      )}
      {retry && known?.status !== 404 && (
        <button type="button" className="button small mt-3" onClick={retry}>
          {t.retry}
        </button>
      )}
    </div>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="px-6 py-8 text-center text-muted">
      <p>{title}</p>
      {children && <div className="mx-auto mt-3 max-w-xl text-left">{children}</div>}
    </div>
  );
}

export function CopyButton({ value, label }: { value: string; label?: string }) {
  const t = useWords();
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = window.setTimeout(() => setDone(false), 1500);
    return () => window.clearTimeout(timer);
  }, [done]);
  return (
    <button
      type="button"
      className="button small"
      aria-label={done ? t.copied : `${t.copy} ${label ?? ""}`}
      onClick={() => void navigator.clipboard.writeText(value).then(() => setDone(true))}
    >
      {done ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />} {done ? t.copied : t.copy}
    </button>
  );
}

export function Command({ children }: { children: string }) {
  return (
    <div className="flex items-start gap-2 rounded-md border bg-code p-2">
      <pre className="min-w-0 grow overflow-x-auto py-1 whitespace-pre-wrap break-all" tabIndex={0}>
        {children}
      </pre>
      <CopyButton value={children} />
    </div>
  );
}

/** A relative time with the exact one on hover. */
export function Time({ at }: { at: string | null | undefined }) {
  const { language } = useLanguage();
  const [, tick] = useState(0);
  useEffect(() => {
    const timer = window.setInterval(() => tick((n) => n + 1), 15_000);
    return () => window.clearInterval(timer);
  }, []);
  if (!at) return <span className="text-faint">-</span>;
  return (
    <time dateTime={at} title={new Date(at).toLocaleString(language)} className="whitespace-nowrap">
      {ago(at, language)}
    </time>
  );
}

export function Section({ title, actions, children }: { title: string; actions?: ReactNode; children: ReactNode }) {
  return (
    <section className="panel overflow-hidden" aria-label={title}>
      <div className="flex min-h-11 flex-wrap items-center gap-2 border-b px-4 py-1.5">
        <h2 className="grow">{title}</h2>
        {actions}
      </div>
      <div className="overflow-x-auto">{children}</div>
    </section>
  );
}

export function Field({ label, hint, children }: { label: string; hint?: string; children: ReactNode }) {
  return (
    <label className="block">
      <span className="label">{label}</span>
      {children}
      {hint && <span className="hint mt-1 block">{hint}</span>}
    </label>
  );
}

export function Facts({ items }: { items: [string, ReactNode][] }) {
  return (
    <dl className="grid grid-cols-[max-content_1fr] gap-x-6 gap-y-1.5 p-4">
      {items.map(([name, value]) => (
        <div key={name} className="contents">
          <dt className="text-muted">{name}</dt>
          <dd className="min-w-0 break-words">{value}</dd>
        </div>
      ))}
    </dl>
  );
}
