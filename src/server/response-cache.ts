/** Replies that are given again as long as nothing was committed: most of what a registry is asked, it is asked again. */
import type { Reply } from "./http/reply.ts";
import type { RequiredPermission } from "./access/required-permission.ts";
import { hasTwoHosts } from "./http/request-target.ts";
import type { Route } from "./routes.ts";

/** Bytes that are kept at most; when more would be, it begins anew. */
const MAX_BYTES = 16 * 1024 * 1024;

/** One that is larger costs less to make than it takes away from others. */
const MAX_REPLY_BYTES = 2 * 1024 * 1024;

/** What an entry costs beside its address and its body, about. */
const ENTRY_BYTES = 2048;

/** What had been asked for: whoever asks again must be allowed to. */
export interface Question {
  readonly route: Route;
  readonly required: RequiredPermission;
  /** What every reply at this path has, refusals too. */
  readonly commonHeaders: Readonly<Record<string, string>>;
}

export interface KeptReply extends Question {
  /** The reply to a request; may throw a refusal. */
  give(request: Request): Reply;
}

/** What is known of an address. */
interface Entry {
  readonly bytes: number;
  readonly holds: () => boolean;
  /** For whoever asks for no more than the address says. */
  readonly usual?: KeptReply | undefined;
  /** For whoever wants a part of it, or has conditions. */
  readonly particular?: KeptReply | undefined;
}

export class ReplyCache {
  readonly #currentRevision: () => number;
  readonly #byMethod = { GET: new Map<string, Entry>(), HEAD: new Map<string, Entry>() };
  #revision = -1;
  #bytes = 0;

  /** `revision` gives another number as soon as something was committed. */
  constructor(revision: () => number) {
    this.#currentRevision = revision;
  }

  /** What answers such a request, if the same would be answered again: as it is, or adapted. */
  find({ method, url, headers }: Request): KeptReply | undefined {
    if (method !== "GET" && method !== "HEAD") return undefined;
    const known = this.#byMethod[method].get(url);
    if (!known || this.#currentRevision() !== this.#revision) return undefined;
    const kept = isParticular(headers) ? known.particular : known.usual;
    return kept && !hasTwoHosts(headers) && known.holds() ? kept : undefined;
  }

  /** The revision at which a reply to this request begins to be made; undefined when none to it is ever kept. */
  knownFor({ method }: Request): number | undefined {
    return method === "GET" || method === "HEAD" ? this.#currentRevision() : undefined;
  }

  /** Remembers a reply that was made from what was known at `revision`, or later. */
  keep({ method, url, headers }: Request, question: Question, reply: Reply, revision: number): void {
    const { holds, adapted, body } = reply;
    if (!holds?.() || (method !== "GET" && method !== "HEAD") || hasTwoHosts(headers)) return;
    if (revision < this.#revision) return;
    const isUsual = !isParticular(headers);
    if (!isUsual && !isFile(body)) return; // a piece of what is in memory would keep the whole of it there
    const bytes = ENTRY_BYTES + url.length + bodyBytes(reply);
    if (bytes > MAX_REPLY_BYTES) return;
    if (revision !== this.#revision || this.#bytes + bytes > MAX_BYTES) this.#clear(revision);
    const replies = this.#byMethod[method];
    const known = replies.get(url);
    this.#bytes += bytes - (known?.bytes ?? 0);
    replies.set(url, {
      bytes,
      holds,
      usual: isUsual ? { ...question, give: () => reply } : known?.usual,
      particular: adapted && { ...question, give: adapted },
    });
  }

  #clear(revision: number): void {
    this.#byMethod.GET.clear();
    this.#byMethod.HEAD.clear();
    this.#bytes = 0;
    this.#revision = revision;
  }
}

/** Whether a request asks for more than its method and address say. */
function isParticular(headers: Headers): boolean {
  return headers.has("range") || headers.has("if-none-match") || headers.has("if-match");
}

function isFile(body: Reply["body"]): boolean {
  return typeof body === "object" && "kind" in body && body.kind === "file";
}

/** Of a file nothing is kept but its name. */
function bodyBytes({ body }: Reply): number {
  if (typeof body === "string") return body.length;
  return body instanceof Blob ? body.size : 0;
}
