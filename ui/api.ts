/** Requests to the API of the registry, and what came of them. */
import { effect, signal } from "@preact/signals";
import type { ReadonlySignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

/** A refusal of the registry (RFC 9457), or that it could not be reached. */
export interface Problem {
  /** Undefined when there was no answer. */
  readonly status: number | undefined;
  readonly detail: string;
  readonly requestId?: string;
}

export type Loaded<Value> =
  | { readonly state: "loading" }
  | { readonly state: "here"; readonly value: Value }
  | { readonly state: "failed"; readonly problem: Problem };

/**
 * Who is logged in, as the header says it. It stays in the memory of this tab: what is stored in a browser can be read by whatever
 * else runs on this host.
 */
export const credentials = signal<string | undefined>(undefined);

/** Returns the credentials of a user for `credentials`. */
export function basicCredentials(user: string, password: string): string {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  return `Basic ${btoa(String.fromCodePoint(...bytes))}`;
}

/** Returns what the registry answers at a path below `/api/v1`; rejects with a `RefusedError`. */
export async function get<Value>(path: string, signal_?: AbortSignal): Promise<Value> {
  const response = await request(`api/v1${path}`, { signal: signal_ });
  return (await response.json()) as Value;
}

/** Asks for a change, and returns the answer; rejects with a `RefusedError`. */
export async function send<Value>(
  method: "POST" | "PUT",
  path: string,
  body: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Value> {
  const response = await request(`api/v1${path}`, {
    method,
    body: JSON.stringify(body),
    headers: { ...headers, "content-type": "application/json" },
  });
  return (await response.json()) as Value;
}

/** Returns the text of a manifest, byte for byte as it was pushed. */
export async function getText(path: string, signal_?: AbortSignal): Promise<string> {
  return await (await request(path, { signal: signal_, headers: { accept: "application/json, */*" } })).text();
}

interface Asked {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

async function request(path: string, { headers, signal: ending, ...asked }: Asked): Promise<Response> {
  const response = await fetch(new URL(path, document.baseURI), {
    ...asked,
    // The browser's own dialog for passwords never opens, and no other credentials than those of the page are sent.
    credentials: "omit",
    headers: {
      accept: "application/json",
      ...(credentials.value !== undefined && { authorization: credentials.value }),
      ...headers,
    },
    ...(ending && { signal: ending }),
  }).catch((error: unknown) => {
    throw ending?.aborted ? error : new RefusedError({ status: undefined, detail: "" });
  });
  if (response.ok) return response;
  throw new RefusedError(await problemIn(response));
}

async function problemIn(response: Response): Promise<Problem> {
  const body = (await response.json().catch(() => undefined)) as { detail?: string; requestId?: string } | undefined;
  return {
    status: response.status,
    detail: body?.detail ?? response.statusText,
    ...(body?.requestId !== undefined && { requestId: body.requestId }),
  };
}

export class RefusedError extends Error {
  override readonly name = "RefusedError";
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

/** Returns the problem of an error; throws one that is a fault of the page. */
export function problemOf(error: unknown): Problem {
  if (error instanceof RefusedError) return error.problem;
  throw error;
}

/** Increased to load again what failed. */
export const attempt = signal(0);

/**
 * What `load` gives, for as long as a component shows it: again for another `key`, another user, and another attempt. What is no
 * longer wanted is aborted.
 */
export function useLoaded<Value>(
  key: string,
  load: (signal: AbortSignal) => Promise<Value>,
): ReadonlySignal<Loaded<Value>> {
  const loaded = useMemo(() => signal<Loaded<Value>>({ state: "loading" }), [key]);
  useEffect(
    () =>
      effect(() => {
        void attempt.value;
        void credentials.value;
        const ending = new AbortController();
        void settle(load(ending.signal)).then((settled) => {
          if (!ending.signal.aborted) loaded.value = settled();
          return undefined;
        });
        return () => ending.abort();
      }),
    [key],
  );
  return loaded;
}

/** Returns what became of a request; an error that is none of the registry's is thrown when that is looked at. */
async function settle<Value>(loading: Promise<Value>): Promise<() => Loaded<Value>> {
  try {
    const value = await loading;
    return () => ({ state: "here", value });
  } catch (error) {
    return () => ({ state: "failed", problem: problemOf(error) });
  }
}

/** What the API answers at a path, for as long as a component shows it. */
export function useApi<Value>(path: string): ReadonlySignal<Loaded<Value>> {
  return useLoaded(path, (signal_) => get<Value>(path, signal_));
}

/** A path of a repository in the API. */
export function repositoryPath(name: string, rest = ""): string {
  return `/repositories/${name}${rest === "" ? "" : `/-/${rest}`}`;
}
