/**
 * Reads the archive of traces of IBM's registry (2017, "Improving Docker Registry Design based on Production Workload
 * Analysis", FAST '18). Each of its files is a JSON array of requests that succeeded, with names replaced by hashes.
 */
import { PULLED_BLOB_BYTES } from "./quantiles.ts";
import type { Op, TraceLine } from "./trace.ts";

interface ArchivedRequest {
  readonly "http.request.method": string;
  readonly "http.request.remoteaddr": string;
  /** Without a slash in front. */
  readonly "http.request.uri": string;
  readonly "http.response.status": number;
  readonly "http.response.written": number;
  readonly timestamp: string;
}

export interface Imported {
  readonly lines: readonly TraceLine[];
  /** Requests that are part of an upload whose PUT stands for it. */
  readonly joined: number;
  /** Requests that nothing in the trace stands for, by method and kind: a mount, say, tells neither what nor from where. */
  readonly leftOut: ReadonlyMap<string, number>;
}

/** The trace that is told by the texts of some files, in any order. Throws for what is no such file. */
export function importIbmArchive(texts: readonly string[]): Imported {
  const requests = texts
    .flatMap((text) => JSON.parse(text) as readonly ArchivedRequest[])
    .map((request) => ({ request, at: Date.parse(request.timestamp) }))
    .toSorted((a, b) => a.at - b.at);
  const beganAt = requests[0]?.at ?? 0;
  const lines: TraceLine[] = [];
  const leftOut = new Map<string, number>();
  /** Bytes of uploads that are under way, where a PATCH told them. */
  const uploads = new Map<string, number>();
  let joined = 0;
  for (const { request, at } of requests) {
    const { "http.request.method": method, "http.request.uri": uri, "http.response.written": written } = request;
    const { kind, repo, ref } = parseUri(uri);
    if (!(at >= beganAt) || !(written >= 0))
      throw new Error(`not a request of the archive: ${JSON.stringify(request)}`);
    if (kind === "upload" && (method === "PATCH" || isOpening(request))) {
      joined++;
      if (method === "PATCH") uploads.set(ref, Math.max(written, uploads.get(ref) ?? 0));
      continue;
    }
    const op = OPS[`${method} ${kind}`];
    if (op === undefined) {
      leftOut.set(`${method} ${kind}`, (leftOut.get(`${method} ${kind}`) ?? 0) + 1);
      continue;
    }
    const client = request["http.request.remoteaddr"];
    lines.push({ t_ms: at - beganAt, client, op, repo, ref, size: sizeOf(op, ref, written, uploads.get(ref)) });
  }
  return { lines, joined, leftOut };
}

type Kind = "base" | "manifest" | "blob" | "upload" | "other";

const OPS: Readonly<Record<string, Op>> = {
  "GET base": "ping",
  "HEAD manifest": "head-manifest",
  "GET manifest": "get-manifest",
  "PUT manifest": "put-manifest",
  "HEAD blob": "head-blob",
  "GET blob": "get-blob",
  "PUT upload": "upload",
};

/** Repository names hold slashes, so an URI is read from its end. */
function parseUri(uri: string): { readonly kind: Kind; readonly repo: string; readonly ref: string } {
  if (/^\/?v2\/?$/.test(uri)) return { kind: "base", repo: "", ref: "" };
  const [, repo = "", noun = "", ref = ""] =
    /^\/?v2\/(.+)\/(manifests|blobs\/uploads|blobs)\/?([^/?]*)(?:\?.*)?$/.exec(uri) ?? [];
  if (noun === "manifests") return { kind: "manifest", repo, ref };
  if (noun === "blobs/uploads") return { kind: "upload", repo, ref };
  if (noun === "blobs") return { kind: "blob", repo, ref };
  return { kind: "other", repo: "", ref: "" };
}

/** A POST that opened an upload; 201 is the answer to a mount. */
function isOpening(request: ArchivedRequest): boolean {
  return request["http.request.method"] === "POST" && request["http.response.status"] === 202;
}

/** Bytes of a blob where the request tells them, or those of the upload tell them; else one of the usual sizes. */
function sizeOf(op: Op, ref: string, written: number, patched = 0): number {
  if (op === "get-blob") return written;
  if (op !== "upload") return 0;
  const share = Number(Bun.hash.wyhash(ref) % 10_000n) / 10_000;
  return Math.max(written, patched) || PULLED_BLOB_BYTES.at(share);
}
