/** What `check` finds, what it does not, and what heals. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, open, rm, stat, truncate, unlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRegistry } from "../create-registry.ts";
import type { Registry, RegistryOptions } from "../create-registry.ts";
import { collect } from "../lib/collect.ts";
import { storedValue } from "../metadata/testing/raw-sql.ts";
import { Connection } from "../metadata/sqlite/connection.ts";
import { digestOf } from "../oci/digest.ts";
import type { Digest } from "../oci/digest.ts";
import { repositoryName } from "../oci/repository-name.ts";
import { tag } from "../oci/tag.ts";
import type { CheckOptions, Finding } from "./check.ts";

setDefaultTimeout(60_000);

const APP = repositoryName("team/app");
/** Longer than what lies in the database. */
const LAYER = bytes("layer ".repeat(10_000));
const LAYER_DIGEST = digestOf(LAYER);
const SMALL = bytes("small");

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

interface Opened extends AsyncDisposable {
  readonly folder: string;
  readonly registry: Registry;
}

async function openRegistry(options: Partial<RegistryOptions> = {}): Promise<Opened> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-check-"));
  folders.push(folder);
  const registry = await createRegistry({ storage: { folder }, ...options });
  return { folder, registry, [Symbol.asyncDispose]: () => registry.close() };
}

function findings(
  { registry }: Opened,
  changed: Partial<CheckOptions & { readonly repair: boolean }> = {},
): Promise<Finding[]> {
  return collect(registry.check({ deep: false, repair: false, ...changed }));
}

async function push({ registry }: Opened, content: Uint8Array = LAYER): Promise<Digest> {
  const upload = await registry.namespace.repository(APP).blobs.upload();
  await upload.finish([digestOf(content)], once(content));
  return digestOf(content);
}

/** Puts an image over layers that are there. */
async function image({ registry }: Opened, layers: readonly Uint8Array[], ...tags: string[]): Promise<Digest> {
  const [config = SMALL] = layers;
  const manifest = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: describeBlob(config, "application/vnd.oci.image.config.v1+json"),
    layers: layers.map((layer) => describeBlob(layer, "application/vnd.oci.image.layer.v1.tar")),
  };
  const put = await registry.namespace
    .repository(APP)
    .manifests.put(bytes(JSON.stringify(manifest)), { tags: tags.map(tag) });
  return put.digest;
}

/** Runs one statement behind the registry's back. */
function query({ folder }: Opened, text: string, ...values: (string | Uint8Array)[]): readonly object[] {
  const connection = Connection.open(join(folder, "registry.db"), ["busy_timeout = 5000"]);
  try {
    return connection.run({ text, values: values.map(storedValue) });
  } finally {
    connection.close();
  }
}

function fileOf(opened: Opened, digest: Digest): string {
  const [row] = query(opened, "select storage_key from blob where digest = $1", digest) as { storage_key: string }[];
  return join(opened.folder, row?.storage_key ?? "");
}

async function flipByte(path: string): Promise<void> {
  const { mtime, atime } = await stat(path);
  const handle = await open(path, "r+");
  await handle.write("L", 7);
  await handle.close();
  await utimes(path, atime, mtime); // a disk that forgets does not say when
}

/** Each way in which bytes get lost, and what it is called. */
const DAMAGES: readonly (readonly [string, (path: string) => Promise<void>, boolean])[] = [
  ["missing", unlink, false],
  ["wrong size", (path) => truncate(path, LAYER.length - 1), false],
  ["wrong size", (path) => truncate(path, LAYER.length + 1), false],
  ["wrong content", flipByte, true],
];

describe("a sound registry is clean", () => {
  test.each([false, true])("deep: %p", async (deep) => {
    await using opened = await openRegistry();
    for (const content of [LAYER, SMALL, bytes("")]) await push(opened, content);
    await image(opened, [LAYER, SMALL], "latest");
    const upload = await opened.registry.namespace.repository(APP).blobs.upload();
    await upload.append(once(LAYER));
    expect(await findings(opened, { deep })).toEqual([]);
  });

  test("with uploads under way and trash, however old their files are", async () => {
    const clock = { ms: Date.now(), now: () => clock.ms };
    await using opened = await openRegistry({ clock });
    const upload = await opened.registry.namespace.repository(APP).blobs.upload();
    await upload.append(once(LAYER));
    await push(opened);
    await push(opened); // its bytes are trash
    clock.ms += 86_400_000;
    expect(await findings(opened)).toEqual([]);
  });
});

describe.each(DAMAGES)("%s bytes", (kind, damage, needsDeep) => {
  test("are found, with the images that need them", async () => {
    await using opened = await openRegistry();
    const digest = await push(opened);
    await push(opened, SMALL);
    const images = [await image(opened, [LAYER], "latest", "stable"), await image(opened, [LAYER, SMALL])];
    const path = fileOf(opened, digest);
    await damage(path);
    const needing = [
      { repository: APP, digest: images[0], tags: ["latest", "stable"] },
      { repository: APP, digest: images[1], tags: [] },
    ].toSorted((a, b) => (String(a.digest) < String(b.digest) ? -1 : 1));
    const key = path.slice(opened.folder.length + 1);
    const found: unknown = await findings(opened, { deep: needsDeep });
    expect(found).toEqual([{ kind, digest, key, images: needing }]);
  });

  test("stay as they are without repair", async () => {
    await using opened = await openRegistry();
    await push(opened);
    await damage(fileOf(opened, LAYER_DIGEST));
    const found = await findings(opened, { deep: true });
    expect(found).toHaveLength(1);
    expect(await findings(opened, { deep: true })).toEqual(found);
  });

  test("are missing after a repair, and whole again after the next push", async () => {
    await using opened = await openRegistry();
    await push(opened);
    await image(opened, [LAYER], "latest");
    await damage(fileOf(opened, LAYER_DIGEST));
    expect(await findings(opened, { deep: true, repair: true })).toMatchObject([{ kind, digest: LAYER_DIGEST }]);
    const { blobs } = opened.registry.namespace.repository(APP);
    expect(await blobs.exists(LAYER_DIGEST)).toBeFalse();
    expect(await findings(opened)).toMatchObject([{ kind: "marked damaged", digest: LAYER_DIGEST }]);

    await push(opened);
    const blob = await blobs.get(LAYER_DIGEST);
    expect(Buffer.concat(await collect(blob.read())).equals(LAYER)).toBeTrue();
    expect(await findings(opened, { deep: true })).toEqual([]);
    await opened.registry.collect({ leaseMs: 0, graceMs: 0 });
    expect(await findings(opened, { deep: true })).toEqual([]);
    expect(await blobs.exists(LAYER_DIGEST)).toBeTrue();
  });
});

test("a byte that flipped is found by a deep check alone", async () => {
  await using opened = await openRegistry();
  await push(opened);
  await flipByte(fileOf(opened, LAYER_DIGEST));
  expect(await findings(opened)).toEqual([]);
  expect(await findings(opened, { deep: true })).toMatchObject([{ kind: "wrong content" }]);
});

test("bytes that change while a repair reads them are not taken for those that it read", async () => {
  await using opened = await openRegistry();
  await push(opened);
  const path = fileOf(opened, LAYER_DIGEST);
  query(opened, "update blob set state = 'damaged'");
  await utimes(path, 1_000_000_000, 1_000_000_000); // another process put the file back
  const onRead = async (): Promise<void> => {
    await writeFile(path, new Uint8Array(LAYER.length));
    await utimes(path, 1_000_000_001, 1_000_000_001);
  };
  await findings(opened, { deep: true, repair: true, onRead });
  expect(await opened.registry.namespace.repository(APP).blobs.exists(LAYER_DIGEST)).toBeFalse();
});

test("a blob in the database that is not what its digest says is found, and healed by a push", async () => {
  await using opened = await openRegistry();
  const digest = await push(opened, SMALL);
  query(opened, "update blob set payload = $2 where digest = $1", digest, bytes("SMALL"));
  expect(await findings(opened)).toEqual([]);
  expect(await findings(opened, { deep: true, repair: true })).toEqual([
    { kind: "wrong content", digest, key: undefined, images: [] },
  ]);
  expect(await opened.registry.namespace.repository(APP).blobs.exists(digest)).toBeFalse();
  await push(opened, SMALL);
  expect(await findings(opened, { deep: true })).toEqual([]);
});

describe("files that nothing names", () => {
  const NAMES = ["uploads/stray", "blobs/sha256/stray"];

  async function withStrays(age: number): Promise<Opened> {
    const opened = await openRegistry();
    await push(opened);
    for (const name of NAMES) {
      await writeFile(join(opened.folder, name), "stray");
      const then = (Date.now() - age) / 1000;
      await utimes(join(opened.folder, name), then, then);
    }
    return opened;
  }

  test("are found, and removed by a repair alone", async () => {
    await using opened = await withStrays(3_600_000);
    const expected = NAMES.map((key) => ({ kind: "unknown file" as const, key, size: 5 }));
    expect(await findings(opened)).toEqual(expected);
    expect(await findings(opened, { repair: true })).toEqual(expected);
    expect(await findings(opened)).toEqual([]);
    expect(await opened.registry.namespace.repository(APP).blobs.exists(LAYER_DIGEST)).toBeTrue();
  });

  test("are left alone while they are young: they may be about to be recorded", async () => {
    await using opened = await withStrays(0);
    expect(await findings(opened, { repair: true })).toEqual([]);
  });
});

test("nothing is found while pushes, deletes and collection go on", async () => {
  await using opened = await openRegistry({ collection: { leaseMs: 0, graceMs: 0 } });
  const { registry } = opened;
  const { blobs } = registry.namespace.repository(APP);
  const ending = new AbortController();
  const pushing = Array.from({ length: 4 }, async (_, client) => {
    for (let turn = 0; !ending.signal.aborted; turn++) {
      const content = bytes(`${turn % 3} ${client % 2} `.repeat(turn % 2 === 0 ? 10 : 9000));
      await push(opened, content);
      // Another process may have removed it already.
      if (turn % 4 === 0) await blobs.delete(digestOf(content)).catch(() => undefined);
    }
  });
  const collecting = (async () => {
    while (!ending.signal.aborted) await registry.collect();
  })();
  try {
    for (let round = 0; round < 40; round++) {
      // Even files that are new must be named by something.
      expect(await findings(opened, { deep: round % 2 === 0, unknownAfterMs: -60_000 })).toEqual([]);
    }
  } finally {
    ending.abort();
    await Promise.all([...pushing, collecting]);
  }
});

test("it says how far it is", async () => {
  await using opened = await openRegistry();
  for (let number = 0; number < 250; number++) await push(opened, bytes(`${number}`));
  const seen: number[] = [];
  await findings(opened, { onStep: (done) => void seen.push(done) });
  expect(seen).toEqual([100, 200]);
});

function describeBlob(content: Uint8Array, mediaType: string): object {
  return { mediaType, digest: digestOf(content), size: content.length };
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

async function* once(piece: Uint8Array): AsyncGenerator<Uint8Array> {
  yield piece;
}
