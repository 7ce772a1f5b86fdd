/** Programs that embed the built library, as plain JavaScript: they run on every runtime and end with an error when it fails. */

/** A push and a pull by requests without a socket. */
export const PUSH_AND_PULL = `
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { createRegistry, repositoryName } from "stowage";

const registry = await createRegistry({ storage: "memory" });
const send = (method, path, body, headers = {}) =>
  registry.fetch(new Request("http://registry" + path, { method, body, headers, duplex: "half" }));
const digestOf = (bytes) => "sha256:" + createHash("sha256").update(bytes).digest("hex");
const contents = [new TextEncoder().encode('{"architecture":"amd64","os":"linux"}'), new Uint8Array(300_000).fill(5)];

const [small, large] = contents.map((bytes) => ({ digest: digestOf(bytes), size: bytes.length }));
const single = await send("POST", "/v2/team/app/blobs/uploads/?digest=" + small.digest, contents[0]);
assert.equal(single.status, 201, await single.text());
const begun = await send("POST", "/v2/team/app/blobs/uploads/");
const location = begun.headers.get("location");
assert.equal((await send("PATCH", location, contents[1].subarray(0, 100_000))).status, 202);
const closed = await send("PUT", location + "?digest=" + large.digest, contents[1].subarray(100_000));
assert.equal(closed.status, 201, await closed.text());

const type = "application/vnd.oci.image.manifest.v1+json";
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: type,
  config: { mediaType: "application/vnd.oci.image.config.v1+json", ...small },
  layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...large }],
});
for (const tag of ["v1", "v2"]) {
  const put = await send("PUT", "/v2/team/app/manifests/" + tag, manifest, { "content-type": type });
  assert.equal(put.status, 201, await put.text());
}

const pulled = await send("GET", "/v2/team/app/manifests/v1");
assert.equal(pulled.headers.get("content-type"), type);
assert.equal(await pulled.text(), manifest);
for (const [at, { digest }] of [small, large].entries()) {
  const blob = await send("GET", "/v2/team/app/blobs/" + digest);
  assert.deepEqual(new Uint8Array(await blob.arrayBuffer()), contents[at]);
}
const part = await send("GET", "/v2/team/app/blobs/" + large.digest, undefined, { range: "bytes=10-19" });
assert.equal(part.status, 206);
assert.equal((await part.arrayBuffer()).byteLength, 10);
const list = async (path) => await (await send("GET", path)).json();
assert.deepEqual(await list("/v2/team/app/tags/list"), { name: "team/app", tags: ["v1", "v2"] });
assert.deepEqual(await list("/v2/team/app/tags/list?n=1"), { name: "team/app", tags: ["v1"] });
assert.deepEqual(await list("/v2/_catalog"), { repositories: ["team/app"] });
assert.deepEqual((await list("/v2/team/app/referrers/" + digestOf(manifest))).manifests, []);
assert.equal((await send("HEAD", "/v2/team/app/blobs/" + digestOf("absent"))).status, 404);
assert.equal((await send("DELETE", "/v2/team/app/manifests/" + digestOf(manifest))).status, 202);
assert.equal(await registry.namespace.repository(repositoryName("team/app")).exists(), true);
await registry.close();
console.log(typeof Bun + ": all as it was pushed");
`;

/** A registry on a port, seeded, cleared and closed. */
export const LISTEN = `
import assert from "node:assert/strict";
import { createRegistry, digestOf, pushImage } from "stowage";

const registry = await createRegistry({ storage: "memory" });
const listener = await registry.listen();
const image = await pushImage(registry.namespace, "team/app:1.0");
const at = (path, init) => fetch(listener.url + "/v2/" + path, init);
assert.equal(new URL(listener.url).port, String(listener.port));
assert.equal(listener.url, "http://" + listener.host);

const pulled = await at("team/app/manifests/1.0");
assert.equal(pulled.status, 200);
assert.equal(digestOf(new Uint8Array(await pulled.arrayBuffer())), image.digest);
const head = await at("team/app/manifests/1.0", { method: "HEAD" });
assert.equal(head.headers.get("content-length"), String(image.size));
assert.equal((await at("team/app/manifests/2.0")).status, 404);

const content = new Uint8Array(3_000_000).fill(7);
const upload = await at("team/app/blobs/uploads/?digest=" + digestOf(content), { method: "POST", body: content });
assert.equal(upload.status, 201, await upload.text());
const part = await at("team/app/blobs/" + digestOf(content), { headers: { range: "bytes=5-9" } });
assert.equal(part.status, 206);
assert.deepEqual(new Uint8Array(await part.arrayBuffer()), content.subarray(5, 10));
assert.equal((await (await at("team/app/blobs/" + digestOf(content))).arrayBuffer()).byteLength, content.length);

await registry.clear();
assert.deepEqual(await (await at("_catalog")).json(), { repositories: [] });
assert.equal((await at("team/app/blobs/" + digestOf(content))).status, 404);
assert.equal((await pushImage(registry.namespace, "team/app:1.0")).digest, image.digest);
assert.equal((await at("team/app/manifests/1.0")).status, 200);

await assert.rejects(registry.listen({ port: listener.port }));
await registry.close();
await assert.rejects(at(""));
`;

/** What web pages of other sites make a browser send to a registry on a port, and names that are not its own. */
export const OTHER_SITES = `
import assert from "node:assert/strict";
import { request } from "node:http";
import { createRegistry, pushImage } from "stowage";

const statusOf = (port, method, path, headers) =>
  new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, method, path, headers, agent: false });
    sent.on("error", reject).on("response", (response) => resolve(response.resume().statusCode)).end();
  });
const MANIFEST = "/v2/team/app/manifests/1.0";
const UPLOADS = "/v2/team/app/blobs/uploads/";
const name = { host: "evil.example:5000" };
const page = { origin: "http://evil.example", "content-length": "0" };

async function statuses(options, place) {
  const registry = await createRegistry({ storage: "memory", ...options });
  await pushImage(registry.namespace, "team/app:1.0");
  // What is answered under a name without a socket is not cached for those who come over one.
  const { status } = await registry.fetch(new Request("http://evil.example:5000" + MANIFEST));
  const { port } = await registry.listen(place);
  const asked = [];
  asked.push(await statusOf(port, "GET", MANIFEST, name), await statusOf(port, "POST", UPLOADS, page));
  asked.push(await statusOf(port, "GET", MANIFEST, {}), await statusOf(port, "POST", UPLOADS, { "content-length": "0" }));
  await registry.close();
  return [status, ...asked];
}

const authenticator = { authenticate: async () => undefined, isCurrent: () => false };
const access = { kind: "accounts", authenticator: () => authenticator };
assert.deepEqual(await statuses({}), [200, 403, 403, 200, 202]);
assert.deepEqual(await statuses({}, { hostname: "localhost" }), [200, 403, 403, 200, 202]);
assert.deepEqual(await statuses({}, { otherSites: "served" }), [200, 200, 202, 200, 202]);
assert.deepEqual(await statuses({}, { hostname: "0.0.0.0" }), [200, 200, 202, 200, 202]);
assert.deepEqual(await statuses({ origin: { host: "http://evil.example:5000" } }), [200, 200, 403, 200, 202]);
assert.deepEqual(await statuses({ otherSites: { refused: "pages" } }), [200, 200, 403, 200, 202]);
assert.deepEqual(await statuses({ access }), [401, 401, 401, 401, 401]);
`;

/** A registry in the folder that its argument names keeps what was pushed when it is opened again. */
export const FOLDER = `
import assert from "node:assert/strict";
import { createRegistry, pushImage } from "stowage";

const storage = { folder: process.argv[2] };
const registry = await createRegistry({ storage });
const image = await pushImage(registry.namespace, "team/app:1.0", { layers: [new Uint8Array(100_000).fill(7)] });
await registry.close();
const again = await createRegistry({ storage });
const manifest = await again.fetch(new Request("http://registry/v2/team/app/manifests/1.0"));
assert.equal(manifest.headers.get("docker-content-digest"), image.digest);
const { layers } = await manifest.json();
const layer = await again.fetch(new Request("http://registry/v2/team/app/blobs/" + layers[0].digest));
assert.equal((await layer.arrayBuffer()).byteLength, 100_000);
await again.close();
`;

/** The program as a module of CommonJS. */
export function asCommonJs(program: string): string {
  return `void (async () => {${program.replaceAll(/^import (.*) from (".*");$/gm, "const $1 = require($2);")}})();`;
}
