/** The requests of one replay, made of a trace and of what the registry was filled with before. */
import { digestOf, OCI_MANIFEST } from "../../test/support/content.ts";
import type { Body } from "../loads/bodies.ts";
import { ACCEPT } from "../loads/load.ts";
import { digestOfContent, piecesOf } from "./content.ts";
import { manifestOf } from "./prefill.ts";
import type { MadePrefill, Prefill } from "./prefill.ts";
import type { Op, TraceLine } from "./trace.ts";

/** One operation of a client. */
export interface Step {
  /** When it is due, at the speed of the trace. */
  readonly atMs: number;
  readonly client: string;
  readonly op: Op;
  /** Numbers of steps that push what this one needs. */
  readonly needs: readonly number[];
  readonly work: Ask | Upload;
}

export interface Ask {
  readonly kind: "ask";
  readonly method: string;
  readonly target: string;
  readonly headers: string;
  readonly body: readonly Uint8Array[];
  /** Statuses that are no error. */
  readonly accepted: readonly number[];
  /** What the body of the reply must have; undefined for bodies that are not looked at. */
  readonly digest?: string | undefined;
}

export interface Upload {
  readonly kind: "upload";
  readonly repository: string;
  body(): Body;
}

/** Of the bodies that are known beforehand each so many is compared with what it should be. */
const VERIFIED_EVERY = 16;

const ACCEPT_LINE = `Accept: ${ACCEPT}\r\n`;

/** What is pushed has other content in each run: no registry has it yet, though the trace was replayed before. */
export function scriptOf(
  lines: readonly TraceLine[],
  prefill: Prefill,
  made: MadePrefill,
  run: number,
): readonly Step[] {
  return new Script(prefill, made, run).stepsOf(lines);
}

/** Something that is there: from the beginning, or when a step is done. */
interface Present {
  readonly digest: string;
  readonly step?: number;
}

class Script {
  readonly #prefill: Prefill;
  readonly #run: number;
  /** Blobs by repository and name, and by name alone where they were seen first. */
  readonly #blobs = new Map<string, Present>();
  readonly #homes = new Map<string, string>();
  readonly #tags = new Map<string, Present>();
  #verifiable = 0;

  constructor(prefill: Prefill, { digests, repositories }: MadePrefill, run: number) {
    this.#prefill = prefill;
    this.#run = run;
    for (const [name, { blobs }] of prefill.repositories) {
      for (const ref of blobs) this.#addBlob(name, ref, { digest: digests.get(ref)! });
    }
    for (const { name, manifests } of repositories) {
      for (const { digest, tags } of manifests) for (const tag of tags) this.#tags.set(`${name}:${tag}`, { digest });
    }
  }

  stepsOf(lines: readonly TraceLine[]): readonly Step[] {
    return lines.map((line, number) => {
      const [work, needs] = this.#workOf(line, number);
      return {
        atMs: line.t_ms,
        client: line.client,
        op: line.op,
        needs: needs.map(({ step }) => step).filter((step) => step !== undefined),
        work,
      };
    });
  }

  #workOf(line: TraceLine, number: number): readonly [work: Ask | Upload, needs: readonly Present[]] {
    const { op, repo, ref } = line;
    switch (op) {
      case "ping":
        return [get("/v2/"), []];
      case "head-manifest":
      case "get-manifest": {
        const { target, digest, needs } = this.#manifestTarget(repo, ref);
        if (op === "head-manifest") return [{ ...get(target, ACCEPT_LINE), method: "HEAD" }, needs];
        return [{ ...get(target, ACCEPT_LINE), digest: this.#sample(digest) }, needs];
      }
      case "head-blob":
      case "get-blob": {
        const blob = this.#blobs.get(`${repo} ${ref}`)!;
        const target = `/v2/${repo}/blobs/${blob.digest}`;
        if (op === "head-blob") return [{ ...get(target), method: "HEAD" }, [blob]];
        return [{ ...get(target), digest: this.#sample(blob.digest) }, [blob]];
      }
      case "upload":
        return [this.#upload(line, number), []];
      case "mount": {
        const from = this.#homes.get(ref)!;
        const blob = this.#blobs.get(`${from} ${ref}`)!;
        this.#addBlob(repo, ref, { digest: blob.digest, step: number });
        const target = `/v2/${repo}/blobs/uploads/?mount=${blob.digest}&from=${from}`;
        return [{ ...get(target), method: "POST", accepted: [201] }, [blob]];
      }
      case "put-manifest":
        return this.#putManifest(line, number);
      case "tags":
        return [get(`/v2/${repo}/tags/list?n=100`), []];
      case "referrers": {
        const { digest } = this.#tags.get(`${repo}:${ref.replace(/^@/, "")}`)!;
        // 404 is how a registry says that it has no referrers; clients then look for a tag.
        return [{ ...get(`/v2/${repo}/referrers/${digest}`), accepted: [200, 404] }, []];
      }
      case "token":
        throw new Error("tokens are not asked for: the peers want none");
      default:
        return op satisfies never;
    }
  }

  #upload({ repo, ref }: TraceLine, number: number): Upload {
    const size = this.#prefill.sizes.get(ref)!;
    const isPrefilled = this.#homes.has(ref) && this.#blobs.get(`${this.#homes.get(ref)} ${ref}`)?.step === undefined;
    const name = isPrefilled ? ref : `${ref} of run ${this.#run}`;
    const digest = digestOfContent(name, size);
    this.#addBlob(repo, ref, { digest, step: number });
    return { kind: "upload", repository: repo, body: () => ({ digest, size, pieces: [...piecesOf(name, size)] }) };
  }

  #putManifest(line: TraceLine, number: number): readonly [Ask, readonly Present[]] {
    const { repo, ref } = line;
    const named = [...(this.#prefill.blobSets.get(line) ?? [])].flatMap((name) => {
      const blob = this.#blobs.get(`${repo} ${name}`);
      return blob ? [{ ...blob, size: this.#prefill.sizes.get(name)! }] : [];
    });
    const text = manifestOf(named, `${this.#run}.${number}`);
    this.#tags.set(`${repo}:${ref}`, { digest: digestOf(text), step: number });
    const work = {
      ...get(`/v2/${repo}/manifests/${ref}`, `Content-Type: ${OCI_MANIFEST}\r\n`),
      method: "PUT",
      body: [Buffer.from(text)],
      accepted: [201],
    };
    return [work, named];
  }

  /** By digest what the tag pointed at by then, which must be there first. By tag whatever it points at. */
  #manifestTarget(repo: string, ref: string) {
    const isByDigest = ref.startsWith("@");
    const tag = isByDigest ? ref.slice(1) : ref;
    const manifest = this.#tags.get(`${repo}:${tag}`)!;
    const isOld = this.#prefill.repositories.get(repo)?.tags.has(tag) ?? false;
    return {
      target: `/v2/${repo}/manifests/${isByDigest ? manifest.digest : tag}`,
      digest: isByDigest ? manifest.digest : undefined,
      needs: isByDigest || !isOld ? [manifest] : [],
    };
  }

  #addBlob(repo: string, ref: string, blob: Present): void {
    this.#blobs.getOrInsert(`${repo} ${ref}`, blob);
    this.#homes.getOrInsert(ref, repo);
  }

  #sample(digest: string | undefined): string | undefined {
    if (digest === undefined) return undefined;
    return this.#verifiable++ % VERIFIED_EVERY === 0 ? digest : undefined;
  }
}

function get(target: string, headers = ""): Ask {
  return { kind: "ask", method: "GET", target, headers, body: [], accepted: [200] };
}
