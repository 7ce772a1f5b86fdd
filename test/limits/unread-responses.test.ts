/** Responses that clients do not read: they cost little memory, and hold up no other client. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Authority } from "../support/certificates.ts";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import { OCI_MANIFEST, bytesOf, descriptorOf, imageManifest } from "../support/content.ts";
import { startRegistry } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { residentMb } from "../support/resident.ts";
import { askSilently } from "../support/silent-reader.ts";
import type { Protocol } from "../support/silent-reader.ts";

setDefaultTimeout(120_000);

const MEGABYTE = 1024 * 1024;

/**
 * What unread responses may take: the bytes that one address may leave unread, what each request costs, and what the
 * runtime has not collected yet. Without a bound they take thousands.
 */
const MAX_GROWTH_MB = 300;

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stowage-unread-"));
  const { cert, key } = new Authority().issue("registry", { names: ["127.0.0.1"] });
  await writeFile(join(folder, "tls.crt"), cert);
  await writeFile(join(folder, "tls.key"), key);
  await using registry = await startRegistry({ dataDir: join(folder, "data") });
  await seed(registry.url);
});
afterAll(() => rm(folder, { recursive: true }));

/** Paths whose answers are large, and those of them that are manifests. */
const large: string[] = [];
const manifests: string[] = [];

/** Every kind of answer that may be large. */
async function seed(url: string): Promise<void> {
  const image = await pushImage(url, "team/app", "small");
  for (let at = 0; at < 12; at++) manifests.push(await putLargeManifest(url, image, at, at < 4 ? 3.4 : 0.9));
  for (let at = 0; at < 20; at++) await putReferrer(url, image, at);
  for (let at = 0; at < 100; at++) await putTags(url, image, at);
  for (let at = 0; at < 100; at++) await mount(url, `${"r".repeat(200)}/${at}`, image);
  const blob = await pushBlob(url, "team/app", bytesOf("layer", 20 * MEGABYTE));
  large.push(...manifests, `/v2/team/app/referrers/${image.digest}`, "/v2/_catalog?n=1000");
  large.push("/v2/team/app/tags/list", "/v2/team/app/tags/list?n=10000");
  for (let at = 0; at < 12; at++) large.push(`/v2/team/app/blobs/${blob}`);
}

/** Gives its path. */
async function putLargeManifest(
  url: string,
  { config, layers }: PushedImage,
  at: number,
  megabytes: number,
): Promise<string> {
  const tag = `large-${at}`;
  const body = imageManifest(config, layers, { annotations: { note: "x".repeat(megabytes * MEGABYTE), tag } });
  expect((await putManifest(url, "team/app", tag, body)).status).toBe(201);
  return `/v2/team/app/manifests/${tag}`;
}

async function putReferrer(url: string, { config, layers, digest, body }: PushedImage, at: number): Promise<void> {
  const subject = { ...descriptorOf(OCI_MANIFEST, body), digest };
  const referrer = imageManifest(config, layers, { subject, annotations: { note: "x".repeat(60_000), at: `${at}` } });
  expect((await putManifest(url, "team/app", descriptorOf(OCI_MANIFEST, referrer).digest, referrer)).status).toBe(201);
}

async function putTags(url: string, { digest, body }: PushedImage, at: number): Promise<void> {
  const tags = Array.from({ length: 8 }, (_, tag) => `tag=${"t".repeat(100)}-${at}-${tag}`).join("&");
  expect((await putManifest(url, "team/app", `${digest}?${tags}`, body)).status).toBe(201);
}

async function mount(url: string, repository: string, { config }: PushedImage): Promise<void> {
  const query = `mount=${config.digest}&from=team/app`;
  const reply = await fetch(`${url}/v2/${repository}/blobs/uploads/?${query}`, { method: "POST" });
  expect(reply.status).toBe(201);
}

function start(isSecure: boolean): Promise<RunningRegistry> {
  const env: Record<string, string> = isSecure
    ? { REGISTRY_HTTP_TLS_CERTIFICATE: join(folder, "tls.crt"), REGISTRY_HTTP_TLS_KEY: join(folder, "tls.key") }
    : { REGISTRY_HTTP_H2C_ENABLED: "true" };
  return startRegistry({ dataDir: join(folder, "data"), env });
}

const insecurely = { tls: { rejectUnauthorized: false } } as RequestInit;

describe("memory stays flat beside a thousand responses that are not read", () => {
  for (const isSecure of [false, true]) {
    for (const [protocol, count] of [
      ["HTTP/1.1", 200],
      ["HTTP/2", 1000],
    ] as const satisfies [Protocol, number][]) {
      test(`over ${protocol}, ${isSecure ? "with TLS" : "in the clear"}`, async () => {
        await using registry = await start(isSecure);
        const { port, pid, url } = registry;
        const probe = async (): Promise<number> =>
          (await fetch(`${url}/v2/team/app/manifests/small`, insecurely)).status;
        expect(await probe()).toBe(200);
        const before = await residentMb(pid);
        const asked = Array.from({ length: count }, (_, at) => large[at % large.length] ?? "");
        await using _readers = await askSilently(asked, { port, protocol, isSecure, connections: 8 });
        for (let round = 0; round < 3; round++) {
          expect(await probe()).toBe(200);
          expect((await residentMb(pid)) - before).toBeLessThan(MAX_GROWTH_MB);
        }
      });
    }
  }
});

test("a client that reads is sent all that it asks for, however much at once", async () => {
  await using registry = await start(true);
  const session = connect(registry.url, { rejectUnauthorized: false });
  const paths = Array.from({ length: 100 }, (_, at) => manifests[at % manifests.length] ?? "");
  const read = (path: string): Promise<[status: unknown, announced: number, size: number]> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ":path": path });
      let [status, announced, size]: [unknown, number, number] = [undefined, 0, 0];
      stream.on("response", (headers) => {
        [status, announced] = [headers[":status"], Number(headers["content-length"])];
      });
      stream.on("data", (piece: Buffer) => (size += piece.length));
      stream.on("end", () => resolve([status, announced, size])).on("error", reject);
    });
  const replies = await Promise.all(paths.map(read));
  session.destroy();
  expect(replies.filter(([status]) => status !== 200)).toEqual([]);
  expect(replies.filter(([, announced, size]) => announced !== size || size < 0.9 * MEGABYTE)).toEqual([]);
});
