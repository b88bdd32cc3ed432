import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useState } from "react";
import { api, take } from "@/api/client";
import { projectsQuery } from "@/api/queries";
import { Dialog } from "@/components/dialog";
import { useWords } from "@/config/i18n";

interface Place {
  label: string;
  hint: string;
  to: string;
}

/** Ctrl-K: every page, project, run and endpoint by typing a part of its name. */
export function Palette({ open, onClose }: { open: boolean; onClose: () => void }) {
  const t = useWords();
  const navigate = useNavigate();
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const projects = useQuery({ ...projectsQuery(), enabled: open });
  const runs = useQuery({ queryKey: ["runs", "palette"], enabled: open, queryFn: () => take(api.GET("/api/v1/runs", { params: { query: { limit: 50 } } })) });
  const endpoints = useQuery({ queryKey: ["endpoints", "palette"], enabled: open, queryFn: () => take(api.GET("/api/v1/endpoints", { params: { query: { limit: 50 } } })) });
  const places = useMemo<Place[]>(
    () => [
      { label: t.home, hint: "", to: "/" },
      { label: t.submit, hint: "", to: "/submit" },
      { label: t.tokens, hint: t.settings, to: "/settings/tokens" },
      { label: t.audit, hint: "", to: "/audit" },
      { label: t.system, hint: "", to: "/system" },
      ...(projects.data?.results ?? []).map((p) => ({ label: p.name, hint: p.path, to: `/${p.path}` })),
      ...(endpoints.data?.results ?? []).map((e) => ({ label: e.slug, hint: `${t.endpoints} ${e.project.path}`, to: `/${e.project.path}/endpoints/${e.slug}` })),
      ...(runs.data?.results ?? []).map((r) => ({ label: `#${r.number}`, hint: `${r.project.path} ${r.status} ${r.submission.message}`, to: `/${r.project.path}/runs/${r.number}` })),
    ],
    [t, projects.data, endpoints.data, runs.data],
  );
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  const found = places.filter((place) => words.every((word) => `${place.label} ${place.hint}`.toLowerCase().includes(word))).slice(0, 12);
  useEffect(() => setAt(0), [typed]);
  useEffect(() => setTyped(""), [open]);
  function go(place: Place | undefined) {
    if (!place) return;
    onClose();
    void navigate({ to: place.to });
  }
  return (
    <Dialog open={open} onClose={onClose} title={t.palette}>
      <input
        className="input w-full"
        autoFocus
        role="combobox"
        aria-expanded
        aria-controls="palette-list"
        aria-activedescendant={`place-${at}`}
        aria-label={t.search}
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        onKeyDown={(event) => {
          if (event.key === "ArrowDown") setAt((n) => Math.min(found.length - 1, n + 1));
          else if (event.key === "ArrowUp") setAt((n) => Math.max(0, n - 1));
          else if (event.key === "Enter") go(found[at]);
          else return;
          event.preventDefault();
        }}
      />
      <ul id="palette-list" role="listbox" aria-label={t.palette} className="mt-2">
        {found.map((place, index) => (
          <li
            key={place.to}
            id={`place-${index}`}
            role="option"
            aria-selected={index === at}
            className={`flex cursor-pointer gap-3 rounded-md px-3 py-2 ${index === at ? "bg-accent-soft" : ""}`}
            onMouseEnter={() => setAt(index)}
            onClick={() => go(place)}
          >
            <span className="font-medium whitespace-nowrap">{place.label}</span>
            <span className="truncate text-muted">{place.hint}</span>
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
