/** Clients that push, mount, look and delete the same few digests while collection runs. */
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageManifest,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../../support/content.ts";
import type { Random } from "../../support/random.ts";

/** Sends a request to a registry, in this process or in another. */
export type Send = (method: string, path: string, asked?: SendOptions) => Promise<Response>;

interface SendOptions {
  readonly body?: Uint8Array<ArrayBuffer> | string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Race {
  readonly repositories: readonly string[];
  readonly leaseMs: number;
  /** Whether the race is still on. */
  readonly isOn: () => boolean;
  readonly tally: Tally;
}

export interface Tally {
  /** What must not be: one line each. */
  readonly wrong: string[];
  images: number;
  /** Images that were put after no more than a look at some of their blobs. */
  relied: number;
  pulled: number;
  deleted: number;
}

export function newTally(): Tally {
  return { wrong: [], images: 0, relied: 0, pulled: 0, deleted: 0 };
}

interface Image {
  readonly repository: string;
  readonly digest: string;
  readonly blobs: readonly Uint8Array<ArrayBuffer>[];
}

const CONTENTS = 12;
/** On both sides of what lies in the database. */
const SIZES = [300, 900, 20_000, 60_000];

/** The contents that all fight for. */
const RACED: readonly Uint8Array<ArrayBuffer>[] = Array.from({ length: CONTENTS }, (_, at) =>
  bytesOf(`raced ${at}`, SIZES[at % SIZES.length] ?? 0),
);

/**
 * What the clients use now. Each content rests for about one lease after they have used it, and comes back just as that
 * ends, or a little later: then they and the collection meet.
 */
function inUse(leaseMs: number): readonly Uint8Array<ArrayBuffer>[] {
  const used = leaseMs / 8;
  return RACED.filter((_, at) => {
    const period = used + leaseMs * (1 + (at % 4) * 0.1);
    return (performance.now() + (at * period) / CONTENTS) % period < used;
  });
}

/**
 * Brings all blobs of an image in, each by a way of its own, and puts the image: nothing that was acknowledged in time may
 * be refused then. Pulls it, and deletes it soon or late.
 */
export async function race(send: Send, random: Random, { repositories, leaseMs, isOn, tally }: Race): Promise<void> {
  let alive: (Image & { readonly until: number })[] = [];
  while (isOn()) {
    const repository = random.pick(repositories) ?? "";
    const blobs = inUse(leaseMs).filter(() => random.chance(0.7));
    const image = await pushImage(send, random, { repository, repositories, blobs, leaseMs, tally });
    // Few live for as long as the lease of what they need, so that it is over when they go.
    const life = random.chance(0.005) ? leaseMs * 1.1 * random.next() : 0;
    if (image) alive.push({ ...image, until: performance.now() + life });
    const looked = random.pick(alive);
    if (looked && random.chance(0.5)) await pull(send, tally, looked);
    const now = performance.now();
    for (const old of alive.filter(({ until }) => until <= now)) await deleteImage(send, tally, old);
    alive = alive.filter(({ until }) => until > now);
  }
  for (const rest of alive) await deleteImage(send, tally, rest);
}

async function deleteImage(send: Send, tally: Tally, { repository, digest }: Image): Promise<void> {
  const deleted = await send("DELETE", `/v2/${repository}/manifests/${digest}`);
  if (deleted.status === 202) tally.deleted++;
  else tally.wrong.push(`DELETE manifest: ${deleted.status} ${await deleted.text()}`);
}

interface Push {
  readonly repository: string;
  readonly repositories: readonly string[];
  readonly blobs: readonly Uint8Array<ArrayBuffer>[];
  readonly leaseMs: number;
  readonly tally: Tally;
}

async function pushImage(send: Send, random: Random, push: Push): Promise<Image | undefined> {
  const { repository, repositories, blobs, leaseMs, tally } = push;
  const [config, ...layers] = blobs;
  if (!config) {
    await Bun.sleep(1); // all contents rest
    return undefined;
  }
  const told = performance.now();
  const relied: boolean[] = [];
  for (const blob of blobs) relied.push(await bringIn(send, random, tally, repository, repositories, blob));
  const body = imageManifest(
    descriptorOf(OCI_CONFIG, config),
    layers.map((layer) => descriptorOf(OCI_LAYER, layer)),
    { annotations: { mark: `${random.next()}` } },
  );
  const digest = digestOf(body);
  const headers = { "content-type": OCI_MANIFEST };
  const put = await send("PUT", `/v2/${repository}/manifests/${digest}`, { body, headers });
  const took = performance.now() - told;
  if (put.status === 201) {
    tally.images++;
    if (relied.includes(true)) tally.relied++;
    return { repository, digest, blobs };
  }
  // A client that is told "exists" may count on that for half of the lease: with less left it would have been renewed.
  const text = await put.text();
  const isBroken = !text.includes("MANIFEST_BLOB_UNKNOWN") || took < leaseMs / 2;
  if (isBroken) tally.wrong.push(`PUT manifest after ${Math.round(took)} ms: ${put.status} ${text}`);
  return undefined;
}

/** True when the blob was there already, and the client counts on that. */
async function bringIn(
  send: Send,
  random: Random,
  tally: Tally,
  repository: string,
  repositories: readonly string[],
  blob: Uint8Array<ArrayBuffer>,
): Promise<boolean> {
  const digest = digestOf(blob);
  const head = await send("HEAD", `/v2/${repository}/blobs/${digest}`);
  if (head.status === 200) return true;
  if (head.status !== 404) tally.wrong.push(`HEAD blob: ${head.status}`);
  const uploads = `/v2/${repository}/blobs/uploads/`;
  if (random.chance(0.3)) {
    const from = random.pick(repositories);
    const mounted = await send("POST", `${uploads}?mount=${digest}&from=${from}`);
    if (mounted.status === 201) return true;
    if (mounted.status !== 202) tally.wrong.push(`mount: ${mounted.status} ${await mounted.text()}`);
    await send("DELETE", new URL(mounted.headers.get("location") ?? "", "http://localhost").pathname);
  }
  if (random.chance(0.5)) {
    const pushed = await send("POST", `${uploads}?digest=${digest}`, { body: blob });
    if (pushed.status !== 201) tally.wrong.push(`POST blob: ${pushed.status} ${await pushed.text()}`);
    return false;
  }
  const opened = await send("POST", uploads);
  const location = new URL(opened.headers.get("location") ?? "", "http://localhost").pathname;
  const patched = await send("PATCH", location, { body: blob });
  if (patched.status !== 202) tally.wrong.push(`PATCH: ${patched.status} ${await patched.text()}`);
  const closed = await send("PUT", `${location}?digest=${digest}`);
  if (closed.status !== 201) tally.wrong.push(`PUT blob: ${closed.status} ${await closed.text()}`);
  return false;
}

/** An image that is there can be pulled whole. */
async function pull(send: Send, tally: Tally, { repository, digest, blobs }: Image): Promise<void> {
  const manifest = await send("GET", `/v2/${repository}/manifests/${digest}`);
  if (manifest.status !== 200) tally.wrong.push(`GET manifest: ${manifest.status}`);
  await manifest.bytes();
  for (const blob of blobs) {
    const reply = await send("GET", `/v2/${repository}/blobs/${digestOf(blob)}`);
    const bytes = Buffer.from(await reply.bytes());
    if (reply.status !== 200) tally.wrong.push(`GET blob: ${reply.status} ${bytes.toString()}`);
    else if (!bytes.equals(blob)) tally.wrong.push(`GET blob of ${blob.length} bytes: other bytes`);
  }
  tally.pulled++;
}
