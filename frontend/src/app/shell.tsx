import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouterState } from "@tanstack/react-router";
import { Activity, FolderGit2, Home, KeyRound, LogOut, Menu, ScrollText, Search, Upload, Users, WifiOff } from "lucide-react";
import { useEffect, useState } from "react";
import { api } from "@/api/client";
import { useConnected, useLiveUpdates } from "@/api/live";
import { meQuery, projectsQuery } from "@/api/queries";
import { useLanguage, useWords } from "@/config/i18n";
import { applyTheme, readTheme, type Theme } from "@/config/theme";
import { Palette } from "./palette";
import { Shortcuts } from "./shortcuts";

export function Shell() {
  const t = useWords();
  const connected = useConnected();
  const [open, setOpen] = useState(false);
  const [palette, setPalette] = useState(false);
  const [help, setHelp] = useState(false);
  const navigate = useNavigate();
  const path = useRouterState({ select: (state) => state.location.pathname });
  useLiveUpdates();
  useEffect(() => setOpen(false), [path]);
  useEffect(() => {
    let g = false;
    function key(event: KeyboardEvent) {
      const typing = event.target instanceof HTMLElement && /INPUT|TEXTAREA|SELECT/.test(event.target.tagName);
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setPalette(true);
      } else if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
      else if (event.key === "?") setHelp(true);
      else if (event.key === "/") {
        const field = document.querySelector<HTMLInputElement>("[data-search]");
        if (field) {
          event.preventDefault();
          field.focus();
        }
      } else if (event.key === "g") {
        g = true;
        window.setTimeout(() => (g = false), 800);
      } else if (g && event.key === "h") void navigate({ to: "/" });
    }
    window.addEventListener("keydown", key);
    return () => window.removeEventListener("keydown", key);
  }, [navigate]);

  return (
    <div className="flex min-h-screen">
      <a href="#content" className="button sr-only z-60 focus:not-sr-only focus:fixed focus:top-2 focus:left-2">
        {t.skip}
      </a>
      <Side open={open} search={() => setPalette(true)} />
      {open && <button type="button" aria-label={t.close} className="fixed inset-0 z-20 bg-black/40 md:hidden" onClick={() => setOpen(false)} />}
      <div className="flex min-w-0 grow flex-col">
        <header className="sticky top-0 z-10 flex h-12 items-center gap-2 border-b bg-bg px-4 md:hidden">
          <button type="button" className="button plain small" aria-label={t.menu} aria-expanded={open} onClick={() => setOpen(true)}>
            <Menu size={18} aria-hidden />
          </button>
          <Link to="/" className="font-semibold">
            Hekatoncheir
          </Link>
        </header>
        {!connected && (
          <p role="status" className="flex items-center gap-2 bg-warn-soft px-6 py-1.5 text-warn">
            <WifiOff size={15} aria-hidden /> {t.offline}
          </p>
        )}
        <main id="content" tabIndex={-1} className="mx-auto w-full max-w-[86rem] grow p-4 outline-none md:p-6">
          <Outlet />
        </main>
      </div>
      <Palette open={palette} onClose={() => setPalette(false)} />
      <Shortcuts open={help} onClose={() => setHelp(false)} />
    </div>
  );
}

const ITEM = "flex items-center gap-2.5 rounded-md px-2.5 py-1.5 text-muted hover:bg-code hover:text-text [&.active]:bg-accent-soft [&.active]:font-medium [&.active]:text-text";

function Side({ open, search }: { open: boolean; search: () => void }) {
  const t = useWords();
  const me = useQuery(meQuery);
  const projects = useQuery(projectsQuery());
  const signOut = useMutation({
    mutationFn: (everywhere: boolean) => api.POST("/api/v1/auth/sign-out", { params: { query: everywhere ? { everywhere: "1" } : {} } as never }),
    onSettled: () => window.location.assign("/sign-in"),
  });
  return (
    <nav aria-label={t.menu} className={`fixed inset-y-0 left-0 z-30 flex w-60 shrink-0 flex-col gap-1 overflow-y-auto border-r bg-panel p-3 transition-transform md:sticky md:top-0 md:h-screen md:translate-x-0 ${open ? "" : "-translate-x-full"}`}>
      <Link to="/" className="mb-2 flex items-center gap-2 px-2 py-1 text-[1.05rem] font-semibold">
        <img src="/favicon.svg" alt="" width={22} height={22} /> Hekatoncheir
      </Link>
      <button type="button" onClick={search} className="input mb-2 flex items-center gap-2 text-faint">
        <Search size={14} aria-hidden /> <span className="grow text-left">{t.search}</span> <kbd className="text-[.8rem]">Ctrl K</kbd>
      </button>
      <Link to="/" className={ITEM} activeOptions={{ exact: true }} activeProps={{ className: "active" }}>
        <Home size={16} aria-hidden /> {t.home}
      </Link>
      <Link to="/submit" className={ITEM} activeProps={{ className: "active" }}>
        <Upload size={16} aria-hidden /> {t.submit}
      </Link>
      <p className="mt-3 px-2.5 text-[.85rem] font-medium text-faint">{t.projects}</p>
      {projects.data?.results.map((project) => (
        <Link key={project.uid} to="/$team/$project" params={{ team: project.team.slug, project: project.slug }} className={ITEM} activeProps={{ className: "active" }}>
          <FolderGit2 size={16} aria-hidden className="shrink-0" />
          <span className="truncate" title={project.path}>
            {project.name}
          </span>
        </Link>
      ))}
      <p className="mt-3 px-2.5 text-[.85rem] font-medium text-faint">{t.team}</p>
      {me.data?.teams.map(({ team }) => (
        <Link key={team.uid} to="/$team" params={{ team: team.slug }} activeOptions={{ exact: true }} className={ITEM} activeProps={{ className: "active" }}>
          <Users size={16} aria-hidden /> <span className="truncate">{team.name}</span>
        </Link>
      ))}
      <div className="grow" />
      <Link to="/settings/tokens" className={ITEM} activeProps={{ className: "active" }}>
        <KeyRound size={16} aria-hidden /> {t.tokens}
      </Link>
      <Link to="/audit" className={ITEM} activeProps={{ className: "active" }}>
        <ScrollText size={16} aria-hidden /> {t.audit}
      </Link>
      <Link to="/system" className={ITEM} activeProps={{ className: "active" }}>
        <Activity size={16} aria-hidden /> {t.system}
      </Link>
      <Preferences />
      <div className="mt-2 flex items-center gap-2 border-t pt-3 pl-2.5">
        <span className="min-w-0 grow truncate" title={me.data?.name}>
          {me.data?.name}
        </span>
        <button type="button" className="button plain small" onClick={() => signOut.mutate(false)} aria-label={t.signOut} title={t.signOut}>
          <LogOut size={16} aria-hidden />
        </button>
      </div>
    </nav>
  );
}

function Preferences() {
  const t = useWords();
  const { language, setLanguage } = useLanguage();
  const [theme, setTheme] = useState<Theme>(readTheme);
  return (
    <div className="mt-2 flex gap-2 px-1">
      <select
        className="input h-7 min-w-0 grow px-1 text-[.9rem]"
        aria-label={t.theme}
        value={theme}
        onChange={(event) => {
          const next = event.target.value as Theme;
          setTheme(next);
          applyTheme(next);
        }}
      >
        <option value="system">{t.systemTheme}</option>
        <option value="light">{t.light}</option>
        <option value="dark">{t.dark}</option>
      </select>
      <select className="input h-7 min-w-0 grow px-1 text-[.9rem]" aria-label={t.language} value={language} onChange={(event) => setLanguage(event.target.value === "ja" ? "ja" : "en")}>
        <option value="en">English</option>
        <option value="ja">日本語</option>
      </select>
    </div>
  );
}
