import createClient, { type Middleware } from "openapi-fetch";
import type { components, paths } from "./schema";

export type Schemas = components["schemas"];
export type Problem = Schemas["Problem"];

/** What the API says went wrong; `status` 0 means that the portal could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field: string | undefined,
    readonly problems: NonNullable<Problem["problems"]>,
  ) {
    super(message);
  }
}

let csrfToken = "";

/** The token that every write needs; it comes with `me` and with the sign-in methods. */
export function setCsrfToken(token: string): void {
  csrfToken = token;
}

export function readCsrfToken(): string {
  return csrfToken;
}

export async function errorOf(response: Response): Promise<ApiError> {
  let body: Partial<Problem> = {};
  try {
    body = (await response.json()) as Partial<Problem>;
  } catch {
    body = {};
  }
  return new ApiError(
    response.status,
    body.code ?? `http_${response.status}`,
    body.detail ?? response.statusText ?? `HTTP ${response.status}`,
    body.field,
    body.problems ?? [],
  );
}

const manners: Middleware = {
  onRequest({ request }) {
    if (!["GET", "HEAD"].includes(request.method)) {
      request.headers.set("X-CSRFToken", csrfToken);
      if (request.method === "POST") request.headers.set("Idempotency-Key", crypto.randomUUID());
    }
    return request;
  },
  async onResponse({ response }) {
    if (!response.ok && response.status !== 304) throw await errorOf(response);
    return response;
  },
  onError({ error }) {
    return error instanceof ApiError ? error : new ApiError(0, "unreachable", "The portal cannot be reached.", undefined, []);
  },
};

export const api = createClient<paths>({ baseUrl: "/" });
api.use(manners);

/** The data of an answer; errors have been thrown before. */
export async function take<T>(answer: Promise<{ data?: T }>): Promise<T> {
  const { data } = await answer;
  return data as T;
}

/** A page behind a `next` link of a list. */
export async function follow<T>(url: string): Promise<T> {
  const response = await fetch(url, { headers: { Accept: "application/json" } });
  if (!response.ok) throw await errorOf(response);
  return (await response.json()) as T;
}

/** Send a form with files; `progress` is from 0 to 1. */
export function upload<T>(path: string, form: FormData, progress: (part: number) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("X-CSRFToken", csrfToken);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText) as T);
      else void errorOf(new Response(request.responseText, { status: request.status })).then(reject);
    };
    request.onerror = () => reject(new ApiError(0, "unreachable", "The portal cannot be reached.", undefined, []));
    request.send(form);
  });
}
