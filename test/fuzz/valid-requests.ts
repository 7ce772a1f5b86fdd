/** Requests that a registry serves: what the fuzzer begins with. */
import { schema1Document, signed, signer } from "../../src/oci/testing/signed-schema1.ts";
import { digestOf } from "../support/content.ts";
import type { Random } from "../support/random.ts";
import type { RawRequest } from "../support/raw-request.ts";
import {
  CONFIG,
  IMAGE,
  IMAGE_TEXT,
  INDEX_TEXT,
  LAYER,
  OTHER_BLOB,
  OTHER_REPOSITORY,
  REPOSITORY,
} from "../bad-input/witness.ts";

/** What is written goes here, and nowhere else. */
export const PLAYGROUND = "fuzz/playground";

const SMALL = "a small blob";

const SCHEMA1 = signed(schema1Document(PLAYGROUND, "old", [digestOf(SMALL)]), signer("ES256")).bytes;

const ARTIFACT = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  artifactType: "application/vnd.example.fuzz",
  config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf("{}"), size: 2, data: "e30=" },
  layers: [{ mediaType: "text/plain", digest: digestOf(SMALL), size: SMALL.length, annotations: { a: "b" } }],
  subject: IMAGE,
  annotations: { "org.example.key": "value" },
});

const INDEX = JSON.stringify({
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  manifests: [{ ...IMAGE, platform: { architecture: "amd64", os: "linux" } }],
});

const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";

/** One at random. `sessions` are paths of uploads that the server has begun, for requests that go on with one. */
export function validRequest(random: Random, sessions: readonly string[]): RawRequest {
  const session = random.pick(sessions) ?? `/v2/${PLAYGROUND}/blobs/uploads/none`;
  const write = random.chance(0.6);
  return random.pick(write ? writes(session) : READS) ?? { target: "/v2/" };
}

const READS: readonly RawRequest[] = [
  { target: "/v2/" },
  { target: "/v2/_catalog?n=5&last=a" },
  { target: `/v2/${REPOSITORY}/tags/list?n=1&last=a` },
  { target: `/v2/${REPOSITORY}/tags/list` },
  { target: `/v2/${REPOSITORY}/manifests/v1`, headers: { accept: OCI_MANIFEST } },
  { target: `/v2/${REPOSITORY}/manifests/all` },
  { target: `/v2/${REPOSITORY}/manifests/${IMAGE.digest}`, headers: { "if-none-match": `"${IMAGE.digest}"` } },
  { target: `/v2/${REPOSITORY}/blobs/${LAYER.digest}`, headers: { range: "bytes=10-99" } },
  { target: `/v2/${REPOSITORY}/blobs/${LAYER.digest}`, headers: { range: "bytes=0-1,5-9,-3" } },
  { target: `/v2/${REPOSITORY}/blobs/${CONFIG.digest}`, headers: { "if-match": "*" } },
  { target: `/v2/${REPOSITORY}/blobs/${LAYER.digest}`, method: "HEAD" },
  { target: `/v2/${REPOSITORY}/manifests/v1`, method: "HEAD" },
  { target: `/v2/${REPOSITORY}/referrers/${IMAGE.digest}?artifactType=application%2Fvnd.example.witness` },
  { target: `/extensions/v2/${REPOSITORY}/signatures/${IMAGE.digest}` },
  { target: "/" },
  { target: "/readyz" },
];

function type(mediaType: string): { readonly "content-type": string } {
  return { "content-type": mediaType };
}

function writes(session: string): readonly RawRequest[] {
  const at = `/v2/${PLAYGROUND}`;
  const octets = { "content-type": "application/octet-stream" };
  return [
    { method: "POST", target: `${at}/blobs/uploads/` },
    { method: "POST", target: `${at}/blobs/uploads/` },
    { method: "POST", target: `${at}/blobs/uploads/?digest-algorithm=sha512` },
    { method: "POST", target: `${at}/blobs/uploads/?digest=${digestOf(SMALL)}`, body: SMALL, headers: octets },
    { method: "POST", target: `${at}/blobs/uploads/?mount=${OTHER_BLOB.digest}&from=${OTHER_REPOSITORY}` },
    { method: "POST", target: `${at}/blobs/uploads/?mount=${LAYER.digest}&from=${REPOSITORY}` },
    { method: "PATCH", target: session, body: SMALL, headers: { ...octets, "content-range": `0-${SMALL.length - 1}` } },
    { method: "PATCH", target: session, body: "x".repeat(20_000), headers: octets },
    { method: "PATCH", target: session, chunks: ["a ", "few ", "chunks"] },
    { method: "PUT", target: `${session}?digest=${digestOf(SMALL)}`, body: SMALL, headers: octets },
    { method: "PUT", target: `${session}?digest=${digestOf(SMALL, "sha512")}`, chunks: [SMALL] },
    { method: "GET", target: session },
    { method: "DELETE", target: session },
    { method: "PUT", target: `${at}/manifests/v1`, body: ARTIFACT, headers: type(OCI_MANIFEST) },
    { method: "PUT", target: `${at}/manifests/v2`, body: IMAGE_TEXT, headers: type(OCI_MANIFEST) },
    { method: "PUT", target: `${at}/manifests/all`, body: INDEX_TEXT, headers: type(JSON.parse(INDEX_TEXT).mediaType) },
    {
      method: "PUT",
      target: `${at}/manifests/${digestOf(ARTIFACT)}?tag=a&tag=b`,
      body: ARTIFACT,
      headers: type(OCI_MANIFEST),
    },
    { method: "PUT", target: `${at}/manifests/all`, body: INDEX, headers: type(JSON.parse(INDEX).mediaType) },
    {
      method: "PUT",
      target: `${at}/manifests/old`,
      body: SCHEMA1,
      headers: type("application/vnd.docker.distribution.manifest.v1+prettyjws"),
    },
    { method: "DELETE", target: `${at}/manifests/v1`, headers: { "if-match": `"${IMAGE.digest}"` } },
    { method: "DELETE", target: `${at}/manifests/${digestOf(ARTIFACT)}` },
    { method: "DELETE", target: `${at}/blobs/${digestOf(SMALL)}` },
    {
      method: "PUT",
      target: `/extensions/v2/${PLAYGROUND}/signatures/${digestOf(ARTIFACT)}`,
      body: JSON.stringify({
        schemaVersion: 2,
        name: `${digestOf(ARTIFACT)}@${"0".repeat(32)}`,
        type: "atomic",
        content: "YQ==",
      }),
    },
  ];
}
