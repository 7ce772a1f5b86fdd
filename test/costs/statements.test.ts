/**
 * What requests ask of the database. Statements are counted and nothing is timed, so that each failure is a change of the
 * product: what was asked once is asked twice, or a list is walked through that was not.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { bytesOf, descriptorOf, digestOf, imageManifest, OCI_CONFIG, OCI_LAYER } from "../support/content.ts";
import { addTags } from "./support/many-tags.ts";
import { RegistryHere } from "./support/registry-here.ts";
import type { Image } from "./support/registry-here.ts";
import { StatementLog } from "./support/statement-log.ts";

setDefaultTimeout(60_000);

/** Too large to lie in the database. */
const LAYER = bytesOf("layer", 50_000);

let registry: RegistryHere;
let log: StatementLog;
let image: Image;

beforeAll(async () => {
  registry = await RegistryHere.open();
  log = new StatementLog();
  image = await registry.pushImage("app", "v1", LAYER);
  await registry.pushImage("app", "signature", LAYER, { subject: image.manifest });
  for (const [, method, path] of READS) await read(method, path());
});
afterAll(async () => {
  log[Symbol.dispose]();
  await registry[Symbol.asyncDispose]();
});

/** How it is found out whether anything was committed. */
const LOOK = "pragma data_version";

interface Cost {
  /** Times that it was looked whether anything was committed. */
  readonly looks: number;
  /** All other statements. */
  readonly statements: number;
}

/** The lease of this process is renewed when it is due, whatever is asked. */
const LEASE = /^\s*(?:insert into|delete from) holder\b/;

/** What a request costs when it comes by itself. */
async function costOf(work: () => Promise<unknown>): Promise<Cost> {
  await nextTurn(); // what comes in the same turn of the event loop shares one look
  const texts = (await log.during(work)).filter((text) => !LEASE.test(text));
  const looks = texts.filter((text) => text === LOOK).length;
  return { looks, statements: texts.length - looks };
}

async function read(method: string, path: string): Promise<void> {
  await (await registry.send(method, `app/${path}`)).arrayBuffer();
}

/** Begins an upload and pushes an image: commits that change nothing for readers of `app`. */
async function pushElsewhere(): Promise<void> {
  const name = `image-${++pushed}`;
  await registry.send("POST", "elsewhere/blobs/uploads/");
  await registry.pushImage("elsewhere", name, name);
}
let pushed = 0;

/** Pushes a manifest: no cached response of `app` is valid from then on. */
async function pushHere(): Promise<void> {
  const manifest = imageManifest(image.config, [image.layer], { annotations: { pushed: String(++pushed) } });
  await registry.send("PUT", "app/manifests/other", manifest);
}

async function coldCost(method: string, path: string): Promise<Cost> {
  await pushHere();
  return await costOf(() => read(method, path));
}

/** What is read, and with how many statements at most, beside the one for the revision of the repository. */
const READS: readonly (readonly [title: string, method: string, path: () => string, most: number])[] = [
  ["a manifest by its tag", "GET", () => "manifests/v1", 1],
  ["whether a tag is there", "HEAD", () => "manifests/v1", 1],
  ["a manifest by its digest", "GET", () => `manifests/${image.manifest.digest}`, 1],
  ["whether a manifest is there", "HEAD", () => `manifests/${image.manifest.digest}`, 1],
  ["a blob in the database", "GET", () => `blobs/${image.config.digest}`, 1],
  ["whether a blob in the database is there", "HEAD", () => `blobs/${image.config.digest}`, 1],
  ["a blob in a file", "GET", () => `blobs/${image.layer.digest}`, 1],
  ["whether a blob in a file is there", "HEAD", () => `blobs/${image.layer.digest}`, 1],
  ["a page of tags", "GET", () => "tags/list?n=100", 2],
  ["the referrers, of which there is one", "GET", () => `referrers/${image.manifest.digest}`, 5],
];

describe("after a push to its repository a read asks the database anew, by one statement or few", () => {
  test.each(READS)("%s", async (_title, method, path, most) => {
    const { looks, statements } = await coldCost(method, path());
    expect(looks).toBeLessThanOrEqual(1);
    expect(statements).toBeLessThanOrEqual(most + 1);
    expect(statements).toBeGreaterThan(1); // else nothing was counted
  });
});

describe("what was read before is not read again: it is looked once whether anything was committed", () => {
  test.each(READS)("%s", async (_title, method, path) => {
    await coldCost(method, path());
    const { looks, statements } = await costOf(() => read(method, path()));
    expect(statements).toBe(0);
    expect(looks).toBeLessThanOrEqual(1);
  });
});

describe("a cached response survives a push to another repository: one statement says so", () => {
  test.each(READS)("%s", async (_title, method, path) => {
    await coldCost(method, path());
    await pushElsewhere();
    const { looks, statements } = await costOf(() => read(method, path()));
    expect({ looks, statements }).toEqual({ looks: 1, statements: 1 });
  });

  test("GET /v2/ rests on nothing", async () => {
    await registry.send("GET", "");
    await pushElsewhere();
    expect(await costOf(() => registry.send("GET", ""))).toEqual({ looks: 0, statements: 0 });
  });
});

/** The statements of each read after a push to its repository. */
async function readCosts(): Promise<readonly number[]> {
  const costs: number[] = [];
  for (const [, method, path] of READS) costs.push((await coldCost(method, path())).statements);
  return costs;
}

/** The statements of each request of a push, the last of which moves a tag. */
async function pushCosts(seed: string): Promise<Readonly<Record<string, number>>> {
  const [small, large] = [`{"seed":"${seed}"}`, bytesOf(seed, 50_000)];
  const manifest = imageManifest(descriptorOf(OCI_CONFIG, small), [descriptorOf(OCI_LAYER, large)]);
  let path = "";
  const begin = async (blob: Uint8Array | string): Promise<void> => {
    path = await registry.beginUpload("app", digestOf(blob));
  };
  const steps: Readonly<Record<string, () => Promise<unknown>>> = {
    begun: () => begin(small),
    small: () => registry.send("PUT", path, small),
    begunAgain: () => begin(large),
    large: () => registry.send("PUT", path, large),
    manifest: () => registry.send("PUT", `app/manifests/${seed}`, manifest),
    moved: () => registry.send("PUT", "app/manifests/moved", manifest),
  };
  const costs: Record<string, number> = {};
  for (const [name, step] of Object.entries(steps)) costs[name] = (await costOf(step)).statements;
  return costs;
}

test("a push asks for nothing twice: today's counts, and two more", async () => {
  await pushCosts("before");
  const costs = await pushCosts("push");
  const today = { begun: 3, small: 6, begunAgain: 3, large: 10, manifest: 8, moved: 10 };
  expect(Object.keys(costs)).toEqual(Object.keys(today));
  const tooMany = Object.entries(today).filter(([name, count]) => (costs[name] ?? 0) > count + 2);
  expect({ tooMany, costs }).toEqual({ tooMany: [], costs });
  expect(Math.min(...Object.values(costs))).toBeGreaterThan(2); // else nothing was counted
});

test("a manifest with many layers and tags costs as many statements as one with few", async () => {
  const layers = Array.from({ length: 20 }, (_, at) => `a small layer ${at}`);
  for (const layer of layers) await registry.pushBlob("app", layer);
  const push = (count: number): Promise<Cost> => {
    const described = layers.slice(0, count).map((layer) => descriptorOf(OCI_LAYER, layer));
    const manifest = imageManifest(image.config, described, { annotations: { count: String(count) } });
    const tags = Array.from({ length: count }, (_, at) => `tag=many-${at}`).join("&");
    return costOf(() => registry.send("PUT", `app/manifests/${digestOf(manifest)}?${tags}`, manifest));
  };
  await push(20); // tags that are there, and move
  const few = await push(2);
  expect(await push(19)).toEqual(few);
  expect(few.statements).toBeGreaterThan(2); // else nothing was counted
});

test("a deletion asks for no tags that might hold what goes, when no tags are protected: today's counts", async () => {
  const doomed = await registry.pushImage("doomed", "v1", LAYER);
  const costs = {
    blob: await costOf(() => registry.send("DELETE", `doomed/blobs/${doomed.layer.digest}`)),
    manifest: await costOf(() => registry.send("DELETE", `doomed/manifests/${doomed.manifest.digest}`)),
  };
  expect(costs.blob.statements).toBeLessThanOrEqual(8);
  expect(costs.manifest.statements).toBeLessThanOrEqual(16);
  expect(Math.min(costs.blob.statements, costs.manifest.statements)).toBeGreaterThan(2); // else nothing was counted
});

describe("cached responses are adapted to conditional and range requests", () => {
  test.each([
    ["a part of a blob in a file", 206, "blobs/LAYER", { range: "bytes=10-19" }],
    ["a part that is not there", 416, "blobs/LAYER", { range: "bytes=60000-" }],
    ["a blob that did not change", 304, "blobs/LAYER", { "if-none-match": "*" }],
    ["a manifest that did not change", 304, "manifests/v1", { "if-none-match": "*" }],
    ["a manifest that should be another", 412, "manifests/v1", { "if-match": '"other"' }],
  ] as const)("%s, after the whole", async (_title, status, what, headers) => {
    const path = what.replace("LAYER", image.layer.digest);
    await coldCost("GET", path);
    let reply: Response | undefined;
    const { statements } = await costOf(async () => (reply = await registry.ask(`app/${path}`, headers)));
    expect(reply?.status).toBe(status);
    expect(statements).toBe(0);
  });

  test("a part of a blob in a file, after another part", async () => {
    await pushHere();
    const path = `app/blobs/${image.layer.digest}`;
    const first = await costOf(() => registry.ask(path, { range: "bytes=0-9" }));
    expect(first.statements).toBeGreaterThan(0);
    const second = await costOf(() => registry.ask(path, { range: "bytes=10-19" }));
    expect(second.statements).toBe(0);
  });
});

test.each([
  ["all repositories, which everybody may see", "_catalog"],
  ["all tags of a repository that has few", "app/tags/list"],
])("%s are read once, and then given again", async (_title, path) => {
  await pushHere();
  const list = (): Promise<Cost> => costOf(() => registry.send("GET", path));
  expect((await list()).statements).toBeGreaterThan(0);
  expect((await list()).statements).toBe(0);
});

test("with 2,000 more tags each request asks as much as before: nothing walks through them", async () => {
  const before = { reads: await readCosts(), pushes: await pushCosts("few") };
  addTags(registry.dataDir, "app", "v1", 2000);
  expect({ reads: await readCosts(), pushes: await pushCosts("many") }).toEqual(before);
});

test("17 who push at once share their commits, and with them the syncs of the disk", async () => {
  const images = Array.from({ length: 17 }, (_, at) => registry.pushImage(`beside/${at}`, "v1", `layer ${at}`));
  const texts = await log.during(() => Promise.all(images));
  const requests = images.length * 5;
  const commits = texts.filter((text) => text === "begin immediate").length;
  expect(commits).toBeGreaterThan(0);
  expect(commits).toBeLessThan(requests / 4);
});
