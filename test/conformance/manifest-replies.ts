/** What the replies to a pushed and a pulled manifest must have. */
import { expect } from "bun:test";
import { OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import type { RepositoryClient } from "../support/repository-client.ts";

/** What the official suite accepts. */
const ACCEPT = { accept: `${OCI_INDEX}, ${OCI_MANIFEST}` };

/** Asserts that a manifest was accepted: 201, its digest, and a `Location` where exactly these bytes are. */
export async function expectManifestCreated(
  reply: Response,
  repository: RepositoryClient,
  digest: string,
  body: string,
  mediaType: string,
): Promise<void> {
  expect(`${reply.status} ${await reply.text()}`).toBe("201 ");
  expect(reply.headers.get("content-length")).toBe("0");
  // "MUST be equal to the client provided digest".
  expect(reply.headers.get("docker-content-digest")).toBe(digest);
  expect(reply.headers.get("location")).toBe(`${repository.path}/manifests/${digest}`);
  // "The <location> is a pullable manifest URL."
  await expectManifestServed(repository, digest, digest, body, mediaType);
}

/** Asserts that HEAD and GET of a reference give this manifest with all that clients need. */
export async function expectManifestServed(
  repository: RepositoryClient,
  reference: string,
  digest: string,
  body: string,
  mediaType: string,
): Promise<void> {
  for (const method of ["HEAD", "GET"]) {
    const reply = await repository.send(method, `manifests/${reference}`, { headers: ACCEPT });
    expect(reply.status).toBe(200);
    expect(reply.headers.get("content-type")).toBe(mediaType);
    expect(reply.headers.get("content-length")).toBe(String(Buffer.byteLength(body)));
    expect(reply.headers.get("docker-content-digest")).toBe(digest);
    expect(reply.headers.get("etag")).toBe(`"${digest}"`);
    // A whole manifest of megabytes is not worth printing.
    expect((await reply.text()) === (method === "GET" ? body : "")).toBe(true);
  }
}
