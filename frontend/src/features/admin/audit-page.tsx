import { useInfiniteQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { api, follow, type Schemas, take } from "@/api/client";
import { Empty, ErrorPanel, Loading, Section, Time } from "@/components/basics";
import { useWords } from "@/config/i18n";

type Page = { results: Schemas["AuditEvent"][]; next?: string | null };

export default function AuditPage() {
  const t = useWords();
  const words = useSearch({ from: "/inside/audit" }).q ?? "";
  const navigate = useNavigate({ from: "/audit" });
  const events = useInfiniteQuery({
    queryKey: ["audit", words],
    initialPageParam: "",
    queryFn: ({ pageParam }): Promise<Page> => (pageParam ? follow<Page>(pageParam) : take(api.GET("/api/v1/audit", { params: { query: { search: words || undefined } } }))),
    getNextPageParam: (page) => page.next ?? undefined,
  });
  const rows = events.data?.pages.flatMap((page) => page.results) ?? [];
  return (
    <Section
      title={t.audit}
      actions={
        <>
          <input className="input w-48" placeholder={t.search} aria-label={t.search} defaultValue={words} data-search onKeyDown={(event) => event.key === "Enter" && void navigate({ search: { q: event.currentTarget.value || undefined } })} />
          <a className="button" href={`/api/v1/audit/export${words ? `?search=${encodeURIComponent(words)}` : ""}`} download>
            {t.exportCsv}
          </a>
        </>
      }
    >
      {events.isPending && <Loading />}
      {events.error && <ErrorPanel error={events.error} retry={() => void events.refetch()} />}
      {events.data && rows.length === 0 && <Empty title={t.none} />}
      {rows.length > 0 && (
        <table className="table">
          <thead>
            <tr>
              <th>{t.created}</th>
              <th>{t.actor}</th>
              <th>{t.action}</th>
              <th>{t.subject}</th>
              <th className="w-full">{t.details}</th>
              <th>{t.address}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((event) => (
              <tr key={event.uid}>
                <td>
                  <Time at={event.created_at} />
                </td>
                <td className="whitespace-nowrap">
                  {event.actor.replace("user:", "")} {event.token_prefix && <code className="text-muted">{event.token_prefix}</code>}
                </td>
                <td className="whitespace-nowrap">
                  <code>{event.action}</code>
                </td>
                <td className="break-all">{event.subject}</td>
                <td>
                  <code className="break-all text-muted">{JSON.stringify(event.after) === "{}" ? "" : JSON.stringify(event.after).slice(0, 160)}</code>
                </td>
                <td>{event.address}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {events.hasNextPage && (
        <div className="border-t p-3 text-center">
          <button type="button" className="button small" onClick={() => void events.fetchNextPage()}>
            {t.more}
          </button>
        </div>
      )}
    </Section>
  );
}
