/**
 * Makes traces that are like what was counted at IBM's registry: the same operations, sizes and popularity.
 *
 * Clients come at any time (Poisson), for one of these visits:
 *
 *   pull      GET of a manifest, and of all blobs of the image
 *   poll      GET of a manifest whose image the client has
 *   look      HEAD of a manifest
 *   push      HEAD of blobs that may be there, uploads and mounts of others, and PUT of a popular tag, which others pull
 *   list      tags or referrers
 *   ping, token   by themselves, where there are more of them than of visits that begin with them
 */
import { Random } from "../../test/support/random.ts";
import { Images } from "./images.ts";
import type { Image, ImageBlob } from "./images.ts";
import type { Mix } from "./mixes.ts";
import { Polls, PullDeck } from "./popularity.ts";
import { BLOBS_PER_IMAGE } from "./quantiles.ts";
import { requestsOf } from "./trace.ts";
import type { Op, TraceLine } from "./trace.ts";

export interface GeneratorOptions {
  readonly mix: Mix;
  readonly requests: number;
  readonly seed: number;
  /** Some of them come often and most seldom. */
  readonly clients?: number;
}

/** All zones of IBM's registry together, on average over 75 days. */
export const REQUESTS_PER_SECOND = 40_869_028 / (75 * 24 * 60 * 60);

/** Between the requests of a visit, on average. */
const PAUSE_MS = 100;

/** What belongs to a push, besides the manifest. */
const PUSH_OPS = ["head-blob", "upload", "mount"] as const;

type PushOp = (typeof PUSH_OPS)[number];

type Visit = "pull" | "poll" | "look" | "push" | "tags" | "referrers" | "ping" | "token";

/** The same trace for the same options. */
export function generateTrace(options: GeneratorOptions): readonly TraceLine[] {
  return new Generator(options).trace();
}

class Generator {
  readonly #mix: Mix;
  readonly #requests: number;
  readonly #clients: number;
  readonly #random: Random;
  readonly #images: Images;
  readonly #pulls: PullDeck;
  readonly #polls: Polls;
  readonly #lines: TraceLine[] = [];
  /** What pushes should have done by now, and have not. */
  readonly #owed: Record<PushOp, number> = { "head-blob": 0, upload: 0, mount: 0 };
  #client = "";
  #nowMs = 0;
  #done = 0;

  constructor({ mix, requests, seed, clients = 200 }: GeneratorOptions) {
    const random = new Random(seed);
    this.#mix = mix;
    this.#requests = requests;
    this.#clients = clients;
    this.#random = random.fork();
    this.#images = new Images(random.fork());
    this.#pulls = new PullDeck(random.fork());
    this.#polls = new Polls(random.fork());
  }

  trace(): readonly TraceLine[] {
    const weights = visitsPerRequest(this.#mix);
    const visits = Object.values(weights).reduce((sum, weight) => sum + weight, 0);
    for (let beginMs = 0; this.#done < this.#requests;) {
      beginMs += this.#exponential(1000 / (REQUESTS_PER_SECOND * visits));
      this.#nowMs = beginMs;
      this.#client = `client-${Math.floor(this.#clients ** this.#random.next())}`;
      this.#visit(this.#choose(weights, visits));
    }
    return this.#lines.toSorted((a, b) => a.t_ms - b.t_ms);
  }

  #visit(visit: Visit): void {
    switch (visit) {
      case "pull":
        return this.#pull(this.#images.get(this.#pulls.next()));
      case "poll":
        this.#begin();
        return this.#getManifest(this.#images.get(this.#polls.next()));
      case "look":
        return this.#manifest("head-manifest", this.#images.get(this.#polls.next()));
      case "push":
        return this.#push(this.#polls.next());
      case "tags":
        return this.#add("tags", this.#images.get(this.#polls.next()).repo);
      case "referrers": {
        const { repo, tag } = this.#images.get(this.#polls.next());
        return this.#add("referrers", repo, `@${tag}`);
      }
      case "ping":
      case "token":
        return this.#add(visit);
      default:
        return visit satisfies never;
    }
  }

  #pull(image: Image): void {
    this.#begin();
    this.#getManifest(image);
    for (const blob of image.blobs) this.#blob("get-blob", image, blob);
  }

  #push(number: number): void {
    this.#begin();
    const image = this.#images.get(number);
    const { shares } = this.#mix;
    for (const op of PUSH_OPS) {
      this.#owed[op] += shares[op] / requestsOf(op) / shares["put-manifest"];
    }
    for (const blob of image.blobs) if (this.#owes("head-blob")) this.#blob("head-blob", image, blob);
    const fresh: ImageBlob[] = [];
    while (this.#owes("mount")) {
      const blob = this.#images.findOtherBlob([...image.blobs, ...fresh]);
      if (!blob) break;
      this.#blob("mount", image, blob);
      fresh.push(blob);
    }
    while (this.#owes("upload")) {
      const blob = this.#images.makeBlob();
      this.#blob("upload", image, blob);
      fresh.push(blob);
    }
    this.#images.push(number, fresh);
    this.#manifest("put-manifest", image);
  }

  #owes(op: PushOp): boolean {
    if (this.#owed[op] < 1) return false;
    this.#owed[op] -= 1;
    return true;
  }

  /** What clients do before the rest of a visit. */
  #begin(): void {
    for (const op of ["ping", "token"] as const) {
      if (this.#random.chance(this.#mix.shares[op] / 100 / visitsThatBegin(this.#mix))) this.#add(op);
    }
  }

  #getManifest(image: Image): void {
    const byDigest = this.#random.chance(this.#mix.byDigest);
    this.#manifest("get-manifest", byDigest ? { ...image, tag: `@${image.tag}` } : image);
  }

  #manifest(op: Op, { repo, tag }: Image): void {
    this.#add(op, repo, tag);
  }

  #blob(op: Op, { repo }: Image, { ref, size }: ImageBlob): void {
    this.#add(op, repo, ref, size);
  }

  #add(op: Op, repo = "", ref = "", size = 0): void {
    this.#lines.push({ t_ms: Math.round(this.#nowMs), client: this.#client, op, repo, ref, size });
    this.#nowMs += this.#exponential(PAUSE_MS);
    this.#done += requestsOf(op);
  }

  #exponential(mean: number): number {
    return -mean * Math.log(1 - this.#random.next());
  }

  #choose(weights: Readonly<Record<Visit, number>>, sum: number): Visit {
    let left = this.#random.next() * sum;
    for (const [visit, weight] of Object.entries(weights) as [Visit, number][]) {
      left -= weight;
      if (left < 0) return visit;
    }
    return "ping";
  }
}

/** How many visits of each kind make the shares of a mix. */
function visitsPerRequest({ shares }: Mix): Readonly<Record<Visit, number>> {
  const visits = visitsThatBegin({ shares });
  const pull = shares["get-blob"] / 100 / BLOBS_PER_IMAGE.mean();
  return {
    pull,
    poll: shares["get-manifest"] / 100 - pull,
    look: shares["head-manifest"] / 100,
    push: shares["put-manifest"] / 100,
    tags: shares.tags / 100,
    referrers: shares.referrers / 100,
    ping: Math.max(0, shares.ping / 100 - visits),
    token: Math.max(0, shares.token / 100 - visits),
  };
}

/** Pulls, polls and pushes begin with pings and tokens. */
function visitsThatBegin({ shares }: Pick<Mix, "shares">): number {
  return (shares["get-manifest"] + shares["put-manifest"]) / 100;
}
