/** What the clients of the crash test push: bytes that can be made again from a seed, and manifests over them. */
import {
  bytesOf,
  digestOf,
  imageIndex,
  imageManifest,
  OCI_CONFIG,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../../support/content.ts";
import type { TestDescriptor } from "../../support/content.ts";

export interface Content {
  readonly digest: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface TestManifest {
  readonly digest: string;
  readonly body: string;
  readonly mediaType: string;
  /** Digests of the blobs it needs. */
  readonly blobs: readonly string[];
  /** Digests of the manifests it needs. */
  readonly children: readonly string[];
  readonly subject: string | undefined;
}

export function contentOf(seed: string, size: number, algorithm: "sha256" | "sha512" = "sha256"): Content {
  const bytes = bytesOf(seed, size);
  return { digest: digestOf(bytes, algorithm), bytes };
}

export function imageOf(
  config: Content,
  layers: readonly Content[],
  more: { readonly subject?: TestManifest; readonly note?: string } = {},
): TestManifest {
  const { subject, note = "" } = more;
  const body = imageManifest(
    describe(OCI_CONFIG, config),
    layers.map((layer) => describe(OCI_LAYER, layer)),
    {
      annotations: { note },
      ...(subject ? { artifactType: "application/vnd.example.note", subject: describeManifest(subject) } : {}),
    },
  );
  return {
    digest: digestOf(body),
    body,
    mediaType: OCI_MANIFEST,
    blobs: [config, ...layers].map((blob) => blob.digest),
    children: [],
    subject: subject?.digest,
  };
}

export function indexOf(children: readonly TestManifest[], note: string): TestManifest {
  const body = imageIndex(children.map(describeManifest), { annotations: { note } });
  return {
    digest: digestOf(body),
    body,
    mediaType: OCI_INDEX,
    blobs: [],
    children: children.map((child) => child.digest),
    subject: undefined,
  };
}

function describe(mediaType: string, { digest, bytes }: Content): TestDescriptor {
  return { mediaType, digest, size: bytes.length };
}

function describeManifest({ mediaType, digest, body }: TestManifest): TestDescriptor {
  return { mediaType, digest, size: Buffer.byteLength(body) };
}
