import { queryOptions } from "@tanstack/react-query";
import { api, errorOf, setCsrfToken, take } from "./client";
import { pollEvery } from "./live";

const ACTIVE = new Set(["pending", "running", "starting", "cancelling"]);

export const meQuery = queryOptions({
  queryKey: ["me"],
  staleTime: 60_000,
  retry: false,
  queryFn: async () => {
    const me = await take(api.GET("/api/v1/me"));
    setCsrfToken(me.csrf_token);
    return me;
  },
});

export const signInMethodsQuery = queryOptions({
  queryKey: ["sign-in-methods"],
  queryFn: async () => {
    const found = await take(api.GET("/api/v1/auth/methods"));
    setCsrfToken(found.csrf_token);
    return found;
  },
});

export const projectsQuery = (team?: string) =>
  queryOptions({
    queryKey: ["projects", team ?? ""],
    queryFn: () => take(api.GET("/api/v1/projects", { params: { query: { team, archived: false, limit: 200, ordering: "slug" } as never } })),
  });

/** A project by its path: the list is filtered, so that a slug is enough. */
export const projectQuery = (team: string, slug: string) =>
  queryOptions({
    queryKey: ["project", team, slug],
    queryFn: async () => {
      const page = await take(api.GET("/api/v1/projects", { params: { query: { team, slug } as never } }));
      const found = page.results[0];
      if (!found) throw await notFound();
      return found;
    },
  });

export const runQuery = (project: string, number: number) =>
  queryOptions({
    queryKey: ["runs", project, number],
    refetchInterval: (query) => pollEvery(ACTIVE.has(query.state.data?.status ?? "")),
    queryFn: async () => {
      const page = await take(api.GET("/api/v1/runs", { params: { query: { project, number } } }));
      const found = page.results[0];
      if (!found) throw await notFound();
      return take(api.GET("/api/v1/runs/{uid}", { params: { path: { uid: found.uid } } }));
    },
  });

export const stepsQuery = (uid: string, moving: boolean) =>
  queryOptions({
    queryKey: ["runs", uid, "steps"],
    refetchInterval: moving ? 2000 : false,
    queryFn: () => take(api.GET("/api/v1/runs/{uid}/steps", { params: { path: { uid } } })),
  });

export const endpointQuery = (project: string, slug: string) =>
  queryOptions({
    queryKey: ["endpoints", project, slug],
    refetchInterval: (query) => (query.state.data?.rollout ? 1500 : 5000),
    queryFn: async () => {
      const page = await take(api.GET("/api/v1/endpoints", { params: { query: { project, slug } } }));
      const found = page.results[0];
      if (!found) throw await notFound();
      return found;
    },
  });

function notFound(): Promise<Error> {
  return errorOf(new Response("{}", { status: 404 }));
}
