/** A server that ends and starts again knows all that it answered for. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { request } from "node:http";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { filesBesideDatabase, queryFolder } from "../support/data-folder.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const LARGE = bytesOf("large", 300_000);

test("a restart keeps images, tags, blobs, referrers and uploads", async () => {
  await using first = await startListening();
  const { url } = first;
  const image = await pushImage(url, "team/app", "latest");
  await pushBlob(url, "team/app", LARGE);
  const about = {
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    digest: image.digest,
    size: image.body.length,
  };
  const referrer = await pushImage(url, "team/app", undefined, "referrer", { subject: about });
  const gone = await pushImage(url, "team/app", "gone", "gone");
  expect((await fetch(`${url}/v2/team/app/manifests/${gone.digest}`, { method: "DELETE" })).status).toBe(202);
  const location = await begin(url);
  expect((await fetch(new URL(location, url), { method: "PATCH", body: LARGE.subarray(0, 100_000) })).status).toBe(202);
  expect(await first.stop()).toBe(0);

  await using next = await startListening({ dataDir: first.dataDir });
  const get = (path: string): Promise<Response> => fetch(`${next.url}/v2/team/app/${path}`);
  for (const reference of ["latest", image.digest]) {
    const reply = await get(`manifests/${reference}`);
    expect([reply.status, await reply.text()]).toEqual([200, image.body]);
  }
  for (const { digest } of [image.config, ...image.layers, { digest: digestOf(LARGE) }]) {
    expect(digestOf(await (await get(`blobs/${digest}`)).bytes())).toBe(digest);
  }
  expect((await get("manifests/gone")).status).toBe(404);
  expect(await (await get("tags/list")).json()).toEqual({ name: "team/app", tags: ["latest"] });
  const referrers = (await (await get(`referrers/${image.digest}`)).json()) as { manifests: { digest: string }[] };
  expect(referrers.manifests.map(({ digest }) => digest)).toEqual([referrer.digest]);

  const rest = new URL(location, next.url);
  expect((await fetch(rest)).headers.get("range")).toBe("0-99999");
  rest.searchParams.set("digest", digestOf(LARGE));
  const headers = { "content-range": "100000-299999" };
  expect((await fetch(rest, { method: "PUT", headers, body: LARGE.subarray(100_000) })).status).toBe(201);
});

test("a server that is killed in the middle of an upload goes on with it where it was recorded", async () => {
  await using killed = await startListening();
  const image = await pushImage(killed.url, "team/app", "latest");
  const location = await begin(killed.url);
  const address = new URL(location, killed.url);
  expect((await fetch(address, { method: "PATCH", body: LARGE.subarray(0, 100_000) })).status).toBe(202);
  const upload = request(address, { method: "PATCH", headers: { "transfer-encoding": "chunked" } });
  upload.on("error", () => undefined);
  upload.write(bytesOf("lost", 150_000));
  await isClaimed(killed.dataDir);
  killed.signal("SIGKILL");
  expect(await killed.ended).toBeNull();

  await using next = await startListening({ dataDir: killed.dataDir });
  expect(await (await fetch(`${next.url}/v2/team/app/manifests/latest`)).text()).toBe(image.body);
  expect((await fetch(`${next.url}/v2/team/app/blobs/${digestOf(LARGE)}`)).status).toBe(404);
  const rest = new URL(location, next.url);
  const where = await fetch(rest);
  expect([where.status, where.headers.get("range")]).toEqual([204, "0-99999"]);

  // The system says that the process has died: no process waits for it.
  const headers = { "content-range": "100000-299999" };
  const taken = await fetch(rest, { method: "PATCH", headers, body: LARGE.subarray(100_000) });
  expect([taken.status, taken.headers.get("range")]).toEqual([202, "0-299999"]);
  rest.searchParams.set("digest", digestOf(LARGE));
  expect((await fetch(rest, { method: "PUT" })).status).toBe(201);
  const pulled = await fetch(`${next.url}/v2/team/app/blobs/${digestOf(LARGE)}`);
  expect(digestOf(await pulled.bytes())).toBe(digestOf(LARGE));
});

test("nothing of an upload shows as a blob when the server is killed before it ended", async () => {
  await using killed = await startListening();
  const address = new URL(await begin(killed.url), killed.url);
  address.searchParams.set("digest", digestOf(LARGE));
  const upload = request(address, { method: "PUT", headers: { "content-length": String(LARGE.length) } });
  upload.on("error", () => undefined);
  upload.write(LARGE.subarray(0, 200_000));
  await isClaimed(killed.dataDir);
  killed.signal("SIGKILL");
  await killed.ended;
  await using next = await startListening({ dataDir: killed.dataDir });
  expect((await fetch(`${next.url}/v2/team/app/blobs/${digestOf(LARGE)}`)).status).toBe(404);
  expect((await filesBesideDatabase(next.dataDir)).filter((file) => file.startsWith("blobs/"))).toEqual([]);
  await pushBlob(next.url, "team/app", LARGE);
  expect((await fetch(`${next.url}/v2/team/app/blobs/${digestOf(LARGE)}`)).status).toBe(200);
});

async function begin(url: string): Promise<string> {
  const begun = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: "POST" });
  return begun.headers.get("location") ?? "";
}

/** Resolves when a request that is being sent has made the upload its own, in the database too. */
async function isClaimed(dataDir: string): Promise<void> {
  while (queryFolder(dataDir, "select id from upload where claimed_by is not null").length === 0) await nextTurn();
}
