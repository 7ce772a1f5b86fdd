/** Reads another registry over HTTP, as its clients do: tokens, pages, rate limits (distribution-spec, "Pull" and "Content Discovery"). */
import { setTimeout as sleep } from "node:timers/promises";
import { parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { MAX_MANIFEST_SIZE } from "../../oci/manifest.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  OCI_ARTIFACT,
  OCI_INDEX,
  OCI_MANIFEST,
  essenceOf,
} from "../../oci/media-type.ts";
import { SourceError } from "./image-source.ts";
import type { ImageSource, SourceManifest } from "./image-source.ts";

export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
}

const ACCEPT = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST, OCI_ARTIFACT, "*/*;q=0.5"].join(", ");

/** Names of one page; registries give fewer. */
const PAGE = 1000;
/** Bytes of an answer that is read into memory. */
const MAX_LIST_BYTES = 32 * 1024 * 1024;
/** How often a request is made again that failed, or came too soon. */
const MOST_TRIES = 8;
/** Milliseconds between two tries: twice as long each time … */
const FIRST_PAUSE_MS = 500;
/** … unless the registry says how long (`Retry-After`), up to this. */
const LONGEST_PAUSE_MS = 15 * 60_000;
const TRIED_AGAIN: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

export class RegistryClient implements ImageSource {
  readonly #url: URL;
  readonly #credentials: RegistryCredentials | undefined;
  /** The `Authorization` header of each scope. */
  readonly #authorizations = new Map<string, string>();

  /** `url` is that of the registry, without a path. */
  constructor(url: URL, credentials?: RegistryCredentials) {
    this.#url = url;
    this.#credentials = credentials;
  }

  /** The names of its repositories. Throws `SourceError` when it does not list them. */
  async *repositories(): AsyncGenerator<string> {
    yield* this.#names(`/v2/_catalog?n=${PAGE}`, "repositories", "registry:catalog:*");
  }

  async *tags(repository: string): AsyncGenerator<string> {
    yield* this.#names(`/v2/${repository}/tags/list?n=${PAGE}`, "tags", pullScope(repository));
  }

  /** Undefined when it has no such manifest. */
  async manifest(repository: string, reference: string): Promise<SourceManifest | undefined> {
    const path = `/v2/${repository}/manifests/${reference}`;
    const response = await this.#get(path, pullScope(repository), { accept: ACCEPT });
    if (response.status === 404) return await drained(response);
    const contentType = response.headers.get("content-type");
    const payload = await bodyOf(await successful(response, path), MAX_MANIFEST_SIZE);
    return { payload, mediaType: contentType === null ? undefined : essenceOf(contentType) };
  }

  /** The digest that a tag points at; undefined when the registry does not say it, or has no such tag. */
  async digestOf(repository: string, tag: string): Promise<Digest | undefined> {
    const path = `/v2/${repository}/manifests/${tag}`;
    const response = await this.#get(path, pullScope(repository), { accept: ACCEPT }, "HEAD");
    const said = response.ok ? response.headers.get("docker-content-digest") : null;
    return said === null ? undefined : parseDigest(said);
  }

  /** The bytes of a blob. Throws `SourceError` when it has no such blob. */
  async *blob(repository: string, digest: Digest): AsyncGenerator<Uint8Array> {
    const path = `/v2/${repository}/blobs/${digest}`;
    const { body } = await successful(await this.#get(path, pullScope(repository)), path);
    if (!body) return;
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        yield value;
      }
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }

  /** The digests of the manifests that have `subject` as their subject; none when it has no list of referrers. */
  async referrers(repository: string, subject: Digest): Promise<readonly Digest[]> {
    const digests: Digest[] = [];
    for (let path: string | undefined = `/v2/${repository}/referrers/${subject}`; path !== undefined;) {
      const response: Response = await this.#get(path, pullScope(repository));
      if (!response.ok) {
        await drained(response);
        return digests;
      }
      const list = jsonOf(await bodyOf(response, MAX_LIST_BYTES), path)["manifests"];
      for (const each of Array.isArray(list) ? (list as { digest?: unknown }[]) : []) {
        const digest = typeof each.digest === "string" ? parseDigest(each.digest) : undefined;
        if (digest !== undefined) digests.push(digest);
      }
      path = this.#nextPage(response, path);
    }
    return digests;
  }

  async *#names(first: string, key: string, scope: string): AsyncGenerator<string> {
    const seen = new Set<string>();
    for (let path: string | undefined = first; path !== undefined && !seen.has(path);) {
      seen.add(path);
      const response: Response = await successful(await this.#get(path, scope), path);
      const names = jsonOf(await bodyOf(response, MAX_LIST_BYTES), path)[key];
      for (const name of Array.isArray(names) ? (names as unknown[]) : []) if (typeof name === "string") yield name;
      path = this.#nextPage(response, path);
    }
  }

  /** The address of the next page ("Link", RFC 5988), if it is one of the same registry. */
  #nextPage(response: Response, path: string): string | undefined {
    const [, target] = /<([^>]*)>\s*;[^,]*rel="?next"?/i.exec(response.headers.get("link") ?? "") ?? [];
    if (target === undefined) return undefined;
    const url = new URL(target, new URL(path, this.#url));
    return url.origin === this.#url.origin ? `${url.pathname}${url.search}` : undefined;
  }

  /** Answers with any status but those that are tried again, or ask for a login that there is. */
  async #get(
    path: string,
    scope: string,
    headers: Readonly<Record<string, string>> = {},
    method: string = "GET",
  ): Promise<Response> {
    let pauseMs = FIRST_PAUSE_MS;
    for (let tries = 1; ; tries++) {
      const authorization = this.#authorizations.get(scope);
      const all = authorization === undefined ? headers : { ...headers, authorization };
      const answer = await fetch(new URL(path, this.#url), { method, headers: all }).catch((error: unknown) => {
        if (tries >= MOST_TRIES) throw new SourceError(`${this.#url.origin} does not answer`, { cause: error });
      });
      if (answer?.status === 401 && (await this.#login(answer, scope, authorization))) continue;
      if (answer && (!TRIED_AGAIN.has(answer.status) || tries >= MOST_TRIES)) return answer;
      if (answer) await drained(answer);
      await sleep(Math.min(LONGEST_PAUSE_MS, retryAfterMs(answer) ?? pauseMs));
      pauseMs *= 2;
    }
  }

  /** Logs in as the challenge says; false when that is no use, or was tried with what was just refused. */
  async #login(response: Response, scope: string, refused: string | undefined): Promise<boolean> {
    const challenge = response.headers.get("www-authenticate") ?? "";
    await drained(response);
    const current = this.#authorizations.get(scope);
    if (current !== refused) return true; // another request has logged in meanwhile
    const authorization = /^bearer /i.test(challenge) ? await this.#token(challenge, scope) : this.#basic();
    if (authorization === undefined || authorization === refused) return false;
    this.#authorizations.set(scope, authorization);
    return true;
  }

  #basic(): string | undefined {
    const login = this.#credentials;
    return login && `Basic ${Buffer.from(`${login.username}:${login.password}`).toString("base64")}`;
  }

  /** Fetches a token from the realm of the challenge (Docker's token authentication). */
  async #token(challenge: string, scope: string): Promise<string | undefined> {
    const values = new Map(
      Array.from(challenge.matchAll(/(\w+)="([^"]*)"/g), ([, key = "", value = ""]) => [key.toLowerCase(), value]),
    );
    const realm = values.get("realm");
    if (realm === undefined || !URL.canParse(realm, this.#url.href)) return undefined;
    const url = new URL(realm, this.#url);
    const service = values.get("service");
    if (service !== undefined) url.searchParams.set("service", service);
    url.searchParams.set("scope", values.get("scope") ?? scope);
    const basic = this.#basic();
    const response = await fetch(url, { headers: basic === undefined ? {} : { authorization: basic } });
    if (!response.ok) return await drained(response);
    const { token, access_token: other } = jsonOf(await bodyOf(response, MAX_LIST_BYTES), url.pathname);
    const given = token ?? other;
    return typeof given === "string" ? `Bearer ${given}` : undefined;
  }
}

function pullScope(repository: string): string {
  return `repository:${repository}:pull`;
}

/** What `Retry-After` asks for: seconds, or a time. */
function retryAfterMs(response: Response | void): number | undefined {
  const said = response?.headers.get("retry-after") ?? "";
  if (/^\d+$/.test(said)) return Number(said) * 1000;
  const until = Date.parse(said);
  const now = Date.parse(response?.headers.get("date") ?? "");
  return Number.isNaN(until) || Number.isNaN(now) ? undefined : Math.max(0, until - now);
}

async function successful(response: Response, path: string): Promise<Response> {
  if (response.ok) return response;
  const text = Buffer.from(await bodyOf(response, 64 * 1024).catch(() => new Uint8Array())).toString();
  throw new SourceError(`${path} was answered with ${response.status}: ${text.slice(0, 300)}`);
}

async function bodyOf(response: Response, maxBytes: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of response.body ?? []) {
    size += piece.length;
    if (size > maxBytes) throw new SourceError(`an answer has more than ${maxBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

async function drained(response: Response): Promise<undefined> {
  await response.body?.cancel();
}

function jsonOf(bytes: Uint8Array, path: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {
    // said below
  }
  throw new SourceError(`${path} was answered with something that is no JSON object`);
}
