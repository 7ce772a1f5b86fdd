/** Refusals and their form (distribution-spec, "Error Codes"): what a client is told, code by code. */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageManifest,
  OCI_CONFIG,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { request } from "../support/raw-request.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import type { Asked } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { openSession } from "./sessions.ts";

const registry = useRegistry();
const NAME = "errors/known";
const UNKNOWN = digestOf("nobody pushed this");
let image: PushedImage;

beforeAll(async () => {
  image = await pushImage(registry().url, NAME, "v1");
});

interface Row {
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly method?: string;
  /** Below `/v2/`. */
  readonly path: string | (() => string | Promise<string>);
  readonly asked?: Asked | (() => Asked);
}

const manifestType = { "content-type": OCI_MANIFEST };
const ROWS: readonly Row[] = [
  { title: "a blob that is not there", status: 404, code: "BLOB_UNKNOWN", path: `${NAME}/blobs/${UNKNOWN}` },
  {
    title: "a blob to delete that is not there",
    status: 404,
    code: "BLOB_UNKNOWN",
    method: "DELETE",
    path: `${NAME}/blobs/${UNKNOWN}`,
  },
  {
    title: "a chunk that leaves a gap",
    status: 416,
    code: "BLOB_UPLOAD_INVALID",
    method: "PATCH",
    path: async () => (await openSession(new RepositoryClient(registry().url, NAME))).slice("/v2/".length),
    asked: { body: "12345", headers: { "content-range": "5-9" } },
  },
  {
    title: "a session that is not there",
    status: 404,
    code: "BLOB_UPLOAD_UNKNOWN",
    path: `${NAME}/blobs/uploads/0f8fad5b-d9cb-469f-a165-70867728950e`,
  },
  { title: "a digest that is none", status: 400, code: "DIGEST_INVALID", path: `${NAME}/blobs/sha256:zz` },
  {
    title: "bytes with another digest",
    status: 400,
    code: "DIGEST_INVALID",
    method: "POST",
    path: `${NAME}/blobs/uploads/?digest=${UNKNOWN}`,
    asked: { body: "something else" },
  },
  {
    title: "a manifest whose layer is not there",
    status: 400,
    code: "MANIFEST_BLOB_UNKNOWN",
    method: "PUT",
    path: `${NAME}/manifests/v2`,
    asked: () => ({
      headers: manifestType,
      body: imageManifest(image.config, [descriptorOf(OCI_LAYER, "nobody pushed this")]),
    }),
  },
  {
    title: "a manifest that is no JSON",
    status: 400,
    code: "MANIFEST_INVALID",
    method: "PUT",
    path: `${NAME}/manifests/v2`,
    asked: { headers: manifestType, body: "{" },
  },
  { title: "a tag that is not there", status: 404, code: "MANIFEST_UNKNOWN", path: `${NAME}/manifests/nobody` },
  {
    title: "a manifest that is not there",
    status: 404,
    code: "MANIFEST_UNKNOWN",
    path: `${NAME}/manifests/${UNKNOWN}`,
  },
  // Not a tag by the grammar, so there is none.
  { title: "a tag that cannot be", status: 404, code: "MANIFEST_UNKNOWN", path: `${NAME}/manifests/-v1` },
  { title: "a name that cannot be", status: 400, code: "NAME_INVALID", path: "errors/Known/tags/list" },
  { title: "a repository that is not there", status: 404, code: "NAME_UNKNOWN", path: "errors/nobody/tags/list" },
  {
    title: "a manifest in a repository that is not there",
    status: 404,
    code: "MANIFEST_UNKNOWN",
    path: "errors/nobody/manifests/v1",
  },
  {
    title: "a blob in a repository that is not there",
    status: 404,
    code: "BLOB_UNKNOWN",
    path: `errors/nobody/blobs/${UNKNOWN}`,
  },
  {
    title: "a chunk that is not as long as it says",
    status: 400,
    code: "SIZE_INVALID",
    method: "PATCH",
    path: async () => (await openSession(new RepositoryClient(registry().url, NAME))).slice("/v2/".length),
    asked: { body: "12345", headers: { "content-range": "0-9" } },
  },
  {
    title: "a manifest that is too large",
    status: 413,
    code: "SIZE_INVALID",
    method: "PUT",
    path: `${NAME}/manifests/v2`,
    asked: () => ({ headers: manifestType, body: " ".repeat(8 * 1024 * 1024) }),
  },
  {
    title: "a range that cannot be",
    status: 416,
    code: "SIZE_INVALID",
    path: () => `${NAME}/blobs/${image.config.digest}`,
    asked: { headers: { range: "bytes=500-0" } },
  },
  {
    title: "a tag to push that cannot be",
    status: 400,
    code: "TAG_INVALID",
    method: "PUT",
    path: `${NAME}/manifests/-v1`,
    asked: () => ({ headers: manifestType, body: image.body }),
  },
  { title: "a number that is none", status: 400, code: "PAGINATION_NUMBER_INVALID", path: `${NAME}/tags/list?n=x` },
  {
    title: "a method that is not possible",
    status: 405,
    code: "UNSUPPORTED",
    method: "POST",
    path: `${NAME}/tags/list`,
  },
  { title: "a path that is none", status: 404, code: "UNSUPPORTED", path: "nothing" },
  {
    title: "a condition that does not hold",
    status: 412,
    code: "UNSUPPORTED",
    path: `${NAME}/manifests/v1`,
    asked: { headers: { "if-match": `"${UNKNOWN}"` } },
  },
];

describe("a refusal is JSON with a code", () => {
  for (const { title, status, code, method = "GET", path, asked = {} } of ROWS) {
    test(`${title}: ${status} ${code}`, async () => {
      const client = new RepositoryClient(registry().url, NAME);
      const target = `/v2/${typeof path === "string" ? path : await path()}`;
      const reply = await client.send(method, target, typeof asked === "function" ? asked() : asked);
      await expectRefused(reply, status, code);
    });
  }
});

test("the refusal of a HEAD has the status of the GET and no body", async () => {
  for (const path of [`blobs/${UNKNOWN}`, "blobs/sha256:zz", "manifests/nobody", `manifests/${UNKNOWN}`]) {
    const target = `/v2/${NAME}/${path}`;
    const [head, get] = await Promise.all([
      request(registry().port, { method: "HEAD", target }),
      request(registry().port, { target }),
    ]);
    expect(head.status).toBe(get.status);
    expect(head.body).toBe("");
  }
});

test("405 names the methods that are possible", async () => {
  // "The origin server MUST generate an Allow header field in a 405 response" (RFC 9110, 15.5.6).
  const client = new RepositoryClient(registry().url, NAME);
  const rows = [
    ["POST", `blobs/${UNKNOWN}`, ["GET", "HEAD", "DELETE"]],
    ["PATCH", "manifests/v1", ["GET", "HEAD", "PUT", "DELETE"]],
    ["PUT", "tags/list", ["GET"]],
    ["DELETE", `referrers/${UNKNOWN}`, ["GET"]],
    ["GET", "blobs/uploads/", ["POST"]],
  ] as const;
  for (const [method, path, possible] of rows) {
    const reply = await client.send(method, path);
    const allowed = (reply.headers.get("allow") ?? "").split(", ");
    expect(allowed).toEqual(expect.arrayContaining([...possible]));
    expect(allowed).not.toContain(method);
    await expectRefused(reply, 405, "UNSUPPORTED");
  }
});

test("a refusal keeps the connection: the next request on it is served", async () => {
  const client = new RepositoryClient(registry().url, NAME);
  for (let round = 0; round < 20; round++) {
    await expectRefused(
      await client.send("PUT", "manifests/v2", { body: bytesOf(round, 5000) }),
      400,
      "MANIFEST_INVALID",
    );
    expect((await client.head("manifests/v1")).status).toBe(200);
  }
});

test("what is missing is named, each in an entry of its own", async () => {
  const config = descriptorOf(OCI_CONFIG, "no config");
  const layers = [descriptorOf(OCI_LAYER, "no layer"), descriptorOf(OCI_LAYER, "no layer either")];
  const client = new RepositoryClient(registry().url, NAME);
  const reply = await client.send("PUT", "manifests/v3", {
    headers: manifestType,
    body: imageManifest(config, layers),
  });
  const errors = await expectRefused(reply, 400, "MANIFEST_BLOB_UNKNOWN");
  expect(errors).toHaveLength(3);
  const details = errors.map(({ detail }) => JSON.stringify(detail)).join(" ");
  for (const { digest } of [config, ...layers]) expect(details).toContain(digest);
});

test("a digest that is none is refused, also when the request carries a body", async () => {
  // The official suite of spec 1.1 sends a body with this GET.
  const reply = await request(registry().port, { target: `/v2/${NAME}/manifests/sha256:totallywrong`, body: "body" });
  expect(reply.status).toBe(400);
  expect(reply.headers["content-type"]).toBe("application/json");
  expect(JSON.parse(reply.body)).toMatchObject({ errors: [{ code: "DIGEST_INVALID" }] });
});
