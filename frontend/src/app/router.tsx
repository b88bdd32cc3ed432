import type { QueryClient } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, createRouter, lazyRouteComponent, redirect } from "@tanstack/react-router";
import { ApiError } from "@/api/client";
import { meQuery } from "@/api/queries";
import { ErrorPanel, Loading } from "@/components/basics";
import { NotFoundPage } from "./not-found";
import { Shell } from "./shell";
import { SignIn } from "./sign-in";

const root = createRootRouteWithContext<{ queries: QueryClient }>()({});

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  component: SignIn,
  validateSearch: (search: Record<string, unknown>): { error?: string } => (typeof search.error === "string" ? { error: search.error } : {}),
});

/** Everything else needs somebody who is signed in. */
const inside = createRoute({
  getParentRoute: () => root,
  id: "inside",
  component: Shell,
  beforeLoad: async ({ context }) => {
    try {
      await context.queries.ensureQueryData(meQuery);
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) throw redirect({ to: "/sign-in" });
      throw error;
    }
  },
});

type Search = Record<string, string | undefined>;
const strings = (search: Record<string, unknown>): Search =>
  Object.fromEntries(Object.entries(search).flatMap(([key, value]) => (typeof value === "string" && value ? [[key, value]] : typeof value === "number" ? [[key, String(value)]] : [])));

const home = createRoute({ getParentRoute: () => inside, path: "/", component: lazyRouteComponent(() => import("@/features/home/home-page")) });
const submit = createRoute({ getParentRoute: () => inside, path: "/submit", component: lazyRouteComponent(() => import("@/features/submissions/submit-page")) });
const audit = createRoute({ getParentRoute: () => inside, path: "/audit", validateSearch: strings, component: lazyRouteComponent(() => import("@/features/admin/audit-page")) });
const tokens = createRoute({ getParentRoute: () => inside, path: "/settings/tokens", component: lazyRouteComponent(() => import("@/features/admin/tokens-page")) });
const system = createRoute({ getParentRoute: () => inside, path: "/system", component: lazyRouteComponent(() => import("@/features/admin/system-page")) });
const compare = createRoute({ getParentRoute: () => inside, path: "/compare", validateSearch: strings, component: lazyRouteComponent(() => import("@/features/runs/compare-page")) });
const team = createRoute({ getParentRoute: () => inside, path: "/$team", component: lazyRouteComponent(() => import("@/features/admin/team-page")) });
const project = createRoute({ getParentRoute: () => inside, path: "/$team/$project", validateSearch: strings, component: lazyRouteComponent(() => import("@/features/projects/project-page")) });
const run = createRoute({ getParentRoute: () => inside, path: "/$team/$project/runs/$number", validateSearch: strings, component: lazyRouteComponent(() => import("@/features/runs/run-page")) });
const endpoint = createRoute({ getParentRoute: () => inside, path: "/$team/$project/endpoints/$endpoint", validateSearch: strings, component: lazyRouteComponent(() => import("@/features/endpoints/endpoint-page")) });
const dataset = createRoute({ getParentRoute: () => inside, path: "/$team/$project/data/$version", component: lazyRouteComponent(() => import("@/features/data/version-page")) });

const tree = root.addChildren([signIn, inside.addChildren([home, submit, audit, tokens, system, compare, team, project, run, endpoint, dataset])]);

export function makeRouter(queries: QueryClient) {
  return createRouter({
    routeTree: tree,
    context: { queries },
    defaultPreload: "intent",
    scrollRestoration: true,
    defaultPendingComponent: Loading,
    defaultErrorComponent: ({ error, reset }) => (
      <div className="mx-auto max-w-2xl p-6">
        <ErrorPanel error={error} retry={reset} />
      </div>
    ),
    defaultNotFoundComponent: NotFoundPage,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
