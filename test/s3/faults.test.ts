/** S3 that fails: nothing that was acknowledged is lost, and what cannot be done is not said to be done. */
import { afterAll, describe, expect, setDefaultTimeout, setSystemTime, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import { digestOf } from "../../src/oci/digest.ts";
import type { StoredKey } from "../../src/storage/blob-store.ts";
import { S3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { MIN_PART_BYTES } from "../../src/storage/s3-options.ts";
import type { S3Options } from "../../src/storage/s3-options.ts";
import { scratchFolder } from "../support/scratch.ts";
import { FaultyS3 } from "./support/faulty-s3.ts";
import type { Call, Fault } from "./support/faulty-s3.ts";
import { startS3 } from "./support/s3-server.ts";

setDefaultTimeout(120_000);

const s3 = await startS3();
const scratch = await scratchFolder();
const proxy = await FaultyS3.open(s3.url);
afterAll(() => proxy[Symbol.asyncDispose]());

const SMALL = randomBytes(100_000);
const LARGE = randomBytes(2 * MIN_PART_BYTES + 1_000_003);

interface Subject extends AsyncDisposable {
  readonly registry: Registry;
  readonly options: S3Options;
  readonly folder: string;
}

async function openSubject(more: Partial<S3Options> = {}): Promise<Subject> {
  proxy.reset();
  const folder = await mkdtemp(join(scratch, "data-"));
  const options = s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES, ...more });
  const registry = await createRegistry({ storage: { folder, s3: options }, limits: { inlineBytes: 0 } });
  return { registry, options, folder, [Symbol.asyncDispose]: () => registry.close() };
}

async function ask(registry: Registry, method: string, path: string, body?: Uint8Array): Promise<Response> {
  const url = path.startsWith("http") ? path : `http://registry.example${path}`;
  return await registry.fetch(new Request(url, { method, ...(body ? { body: body as Uint8Array<ArrayBuffer> } : {}) }));
}

/** Pushes by POST, PATCH and PUT, as docker does, and returns the last status. */
async function push(registry: Registry, content: Uint8Array): Promise<number> {
  const begun = await ask(registry, "POST", "/v2/app/blobs/uploads/");
  const patched = await ask(registry, "PATCH", begun.headers.get("location") ?? "", content);
  if (patched.status !== 202) return patched.status;
  const closed = await ask(registry, "PUT", `${patched.headers.get("location")}&digest=${digestOf(content)}`);
  return closed.status;
}

async function pull(registry: Registry, content: Uint8Array): Promise<boolean> {
  const reply = await ask(registry, "GET", `/v2/app/blobs/${digestOf(content)}`);
  return reply.status === 200 && digestOf(await reply.bytes()) === digestOf(content);
}

/** Every kind of request of a push, with each fault that the next try can mend. */
const PASSING: readonly Fault[] = [{ kind: "slow down" }, { kind: "reset" }, { kind: "answer lost" }];
const PUSH_CALLS: readonly (readonly [Call, Uint8Array])[] = [
  ["PUT object", SMALL],
  ["HEAD object", SMALL],
  ["POST create", LARGE],
  ["PUT part", LARGE],
  ["PUT object", LARGE],
  ["GET object", LARGE],
  ["POST complete", LARGE],
];

describe("a push", () => {
  for (const fault of PASSING) {
    for (const [call, content] of PUSH_CALLS) {
      test(`of ${content.length} bytes succeeds when ${call} meets "${fault.kind}" twice`, async () => {
        await using subject = await openSubject();
        proxy.harm(fault, (each) => each === call, 2);
        expect(await push(subject.registry, content)).toBe(201);
        expect(proxy.count(call)).toBeGreaterThan(1);
        expect(await pull(subject.registry, content)).toBe(true);
      });
    }
  }

  for (const call of ["POST create", "POST complete"] as const) {
    test(`succeeds when the answer to ${call} breaks off`, async () => {
      await using subject = await openSubject();
      proxy.harm({ kind: "truncated", afterBytes: 10 }, (each) => each === call);
      expect(await push(subject.registry, LARGE)).toBe(201);
      expect(await pull(subject.registry, LARGE)).toBe(true);
    });
  }

  test("whose every request is refused gets 503, and the same push succeeds later", async () => {
    await using subject = await openSubject({ requestDeadlineMs: 500 });
    proxy.harm({ kind: "slow down" }, (each) => each.startsWith("PUT"), 10_000);
    expect(await push(subject.registry, SMALL)).toBe(503);
    proxy.reset();
    expect(await push(subject.registry, SMALL)).toBe(201);
    expect(await pull(subject.registry, SMALL)).toBe(true);
  });

  test("whose upload was completed, and whose client got 503, is closed by the next try", async () => {
    await using subject = await openSubject({ requestDeadlineMs: 300 });
    const { registry } = subject;
    const begun = await ask(registry, "POST", "/v2/app/blobs/uploads/");
    const patched = await ask(registry, "PATCH", begun.headers.get("location") ?? "", LARGE);
    const close = `${patched.headers.get("location")}&digest=${digestOf(LARGE)}`;
    // Complete is done, and neither its answer nor that of the HEAD that asks for it comes.
    proxy.harm({ kind: "answer lost" }, (each) => each === "POST complete", 1);
    proxy.harm({ kind: "reset" }, (each) => each === "HEAD object" || each === "POST complete", 10_000);
    expect((await ask(registry, "PUT", close)).status).toBe(503);
    proxy.reset();
    expect((await ask(registry, "PUT", close)).status).toBe(201);
    expect(await pull(registry, LARGE)).toBe(true);
  });

  test("with a digest that the content does not have is refused, and leaves no object", async () => {
    await using subject = await openSubject();
    const { registry, options } = subject;
    const begun = await ask(registry, "POST", "/v2/app/blobs/uploads/");
    const patched = await ask(registry, "PATCH", begun.headers.get("location") ?? "", LARGE);
    const wrong = `${patched.headers.get("location")}&digest=${digestOf(SMALL)}`;
    expect((await ask(registry, "PUT", wrong)).status).toBe(400);
    await registry.collect({ leaseMs: 0, graceMs: 0 });
    expect(await Array.fromAsync(new S3BlobStore(options).list())).toEqual([]);
  });
});

describe("a pull", () => {
  for (const fault of [...PASSING, { kind: "truncated", afterBytes: 300_000 }] as const) {
    test(`gives every byte when S3 answers with "${fault.kind}" twice`, async () => {
      await using subject = await openSubject();
      expect(await push(subject.registry, LARGE)).toBe(201);
      proxy.harm(fault, (each) => each === "GET object", 2);
      expect(await pull(subject.registry, LARGE)).toBe(true);
    });
  }

  test("of an object that is gone returns 404, and the blob is missing until it is pushed again", async () => {
    await using subject = await openSubject();
    const { registry } = subject;
    expect(await push(registry, SMALL)).toBe(201);
    proxy.harm({ kind: "not found" }, (each) => each === "GET object" || each === "HEAD object", 2);
    expect((await ask(registry, "GET", `/v2/app/blobs/${digestOf(SMALL)}`)).status).toBe(404);
    expect((await ask(registry, "HEAD", `/v2/app/blobs/${digestOf(SMALL)}`)).status).toBe(404);
    expect(await push(registry, SMALL)).toBe(201);
    expect(await pull(registry, SMALL)).toBe(true);
  });

  test("of an object that S3 denies once gives every byte", async () => {
    await using subject = await openSubject();
    expect(await push(subject.registry, SMALL)).toBe(201);
    proxy.harm({ kind: "not found" }, (each) => each === "GET object");
    expect(await pull(subject.registry, SMALL)).toBe(true);
  });

  test("is redirected to the bucket for GET alone, where the settings allow it", async () => {
    await using subject = await openSubject({ redirect: {} });
    const { registry } = subject;
    expect(await push(registry, SMALL)).toBe(201);
    const path = `/v2/app/blobs/${digestOf(SMALL)}`;
    const redirected = await ask(registry, "GET", path);
    expect(redirected.status).toBe(307);
    // Signed for GET, and for the host alone: as a client sends it.
    const answer = await fetch(redirected.headers.get("location") ?? "");
    expect(digestOf(await answer.bytes())).toBe(digestOf(SMALL));
    const head = await ask(registry, "HEAD", path);
    expect([head.status, head.headers.get("content-length")]).toEqual([200, String(SMALL.length)]);
  });
});

describe("a clock that is two hours off", () => {
  for (const redirect of [undefined, {}]) {
    test(`costs one request that is signed again, ${redirect ? "with" : "without"} redirects`, async () => {
      await using subject = await openSubject(redirect ? { redirect } : {});
      const { registry } = subject;
      expect(await push(registry, SMALL)).toBe(201);
      setSystemTime(new Date(Date.now() + 2 * 3_600_000));
      try {
        await registry.namespace.checkReady();
        expect(await push(registry, LARGE)).toBe(201);
        const reply = await ask(registry, "GET", `/v2/app/blobs/${digestOf(LARGE)}`);
        const address = reply.headers.get("location");
        const pulled = address === null ? reply : await fetch(address);
        expect(digestOf(await pulled.bytes())).toBe(digestOf(LARGE));
      } finally {
        setSystemTime();
      }
    });
  }
});

describe("an S3 that does not answer", () => {
  test("makes the registry not ready, while manifests are served", async () => {
    await using subject = await openSubject({ requestDeadlineMs: 2000 });
    const { registry } = subject;
    const held = proxy.held("GET object");
    const ready = registry.namespace.checkReady().then(
      () => "ready",
      () => "not ready",
    );
    await held;
    expect((await ask(registry, "GET", "/v2/app/tags/list")).status).toBe(404); // the database answers
    expect(await ready).toBe("not ready");
    proxy.reset();
    await registry.namespace.checkReady();
  });
});

describe("a multipart upload that nothing names", () => {
  test("is found by the integrity check, and aborted by its repair; one of an unfinished upload stays", async () => {
    await using subject = await openSubject();
    const { registry, options } = subject;
    const begun = await ask(registry, "POST", "/v2/app/blobs/uploads/");
    expect((await ask(registry, "PATCH", begun.headers.get("location") ?? "", LARGE)).status).toBe(202);
    proxy.harm({ kind: "answer lost" }, (each) => each === "POST create"); // it is there, and its id is lost
    expect(await push(registry, LARGE)).toBe(201);
    const store = new S3BlobStore(options);
    const uploads = async (): Promise<number> =>
      (await Array.fromAsync(store.list())).filter(({ isUpload }) => isUpload).length;
    expect(await uploads()).toBe(2);
    const findings = await Array.fromAsync(registry.check({ repair: true, deep: false, unknownAfterMs: -3_600_000 }));
    expect(findings.map(({ kind }) => kind)).toEqual(["unknown file"]);
    expect(await uploads()).toBe(1);
    expect(await pull(registry, LARGE)).toBe(true);
  });
});

async function kept({ options }: Subject): Promise<StoredKey[]> {
  return await Array.fromAsync(new S3BlobStore(options).list());
}

async function multipartUploads(subject: Subject): Promise<number> {
  return (await kept(subject)).filter(({ isUpload }) => isUpload).length;
}

/** Sends more than a part into an upload, and falls silent until it is suspended. */
async function fallSilent(subject: Subject) {
  const { registry } = subject;
  const begun = await ask(registry, "POST", "/v2/app/blobs/uploads/");
  const location = begun.headers.get("location") ?? "";
  const body = new TransformStream<Uint8Array, Uint8Array>();
  const client = body.writable.getWriter();
  const url = `http://registry.example${location}`;
  const patched = registry.fetch(new Request(url, { method: "PATCH", body: body.readable, duplex: "half" }));
  for (let at = 0; at < LARGE.length; at += 65_536) await client.write(LARGE.subarray(at, at + 65_536));
  while (!(await kept(subject)).some(({ key }) => key.startsWith("uploads/"))) await Bun.sleep(200); // its tail
  return { location, patched, send: (bytes: Uint8Array) => client.write(bytes) };
}

describe("a multipart upload of a client that fell silent", () => {
  test("is aborted when another request takes the upload", async () => {
    await using subject = await openSubject();
    const silent = await fallSilent(subject);
    expect(await multipartUploads(subject)).toBe(1);
    const close = `${silent.location}${silent.location.includes("?") ? "&" : "?"}digest=${digestOf(SMALL)}`;
    expect((await ask(subject.registry, "PUT", close, SMALL)).status).toBe(201);
    expect((await silent.patched).status).toBe(409);
    expect(await multipartUploads(subject)).toBe(0);
    expect(await kept(subject)).toHaveLength(1); // the blob
    expect(await pull(subject.registry, SMALL)).toBe(true);
  });

  test("is found by the integrity check when another server closed the upload, and then the client comes back", async () => {
    await using subject = await openSubject();
    const silent = await fallSilent(subject);
    const storage = { folder: subject.folder, s3: subject.options };
    await using other = await createRegistry({ storage, limits: { inlineBytes: 0 } });
    const close = `${silent.location}${silent.location.includes("?") ? "&" : "?"}digest=${digestOf(SMALL)}`;
    for (;;) {
      const { status } = await ask(other, "PUT", close, SMALL);
      if (status === 201) break;
      expect(status).toBe(409); // until the claim is given up
      await Bun.sleep(50);
    }
    expect(await multipartUploads(subject)).toBe(1);
    const findings = await Array.fromAsync(other.check({ repair: true, deep: false, unknownAfterMs: -3_600_000 }));
    expect(findings.map(({ kind }) => kind)).toContain("unknown file");
    expect(await multipartUploads(subject)).toBe(0);
    await silent.send(SMALL);
    expect((await silent.patched).status).toBe(404);
    expect(await kept(subject)).toHaveLength(1);
    expect(await pull(other, SMALL)).toBe(true);
  });
});

describe("a bucket and a database", () => {
  test("that belong together open again", async () => {
    const subject = await openSubject();
    expect(await push(subject.registry, SMALL)).toBe(201);
    await subject.registry.close();
    await using again = await createRegistry({ storage: { folder: subject.folder, s3: subject.options } });
    expect(await pull(again, SMALL)).toBe(true);
  });

  test("that do not belong together are refused: another bucket, another database, an empty database", async () => {
    await using one = await openSubject();
    await using other = await openSubject();
    for (const { registry } of [one, other]) expect(await push(registry, SMALL)).toBe(201);
    const empty = await mkdtemp(join(scratch, "data-"));
    const fresh = s3.options({ endpoint: proxy.url });
    for (const [folder, options] of [
      [one.folder, other.options],
      [empty, one.options],
      [one.folder, fresh],
    ] as const) {
      await expect(createRegistry({ storage: { folder, s3: options } })).rejects.toThrow(/bucket/);
    }
  });
});
