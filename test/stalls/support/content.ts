/** Bytes of seeded images and artifacts, which follow from a seed: a test knows what it seeded, and can push the same. */
import { OCI_CONFIG, OCI_EMPTY, OCI_LAYER, OCI_MANIFEST } from "../../support/content.ts";

export interface SeededBlob {
  readonly digest: string;
  readonly text: string;
}

export interface SeededManifest extends SeededBlob {
  readonly blobs: readonly SeededBlob[];
  readonly artifactType?: string;
  readonly subject?: string;
  /** JSON text. */
  readonly annotations?: string;
}

export interface Subject {
  readonly digest: string;
  readonly size: number;
}

export interface Artifact {
  readonly subject: Subject;
  readonly artifactType: string;
  readonly annotationBytes?: number | undefined;
}

/** As `digestOf` of the other tests, several times as fast: a million of them are computed here. */
export function digestOf(bytes: string | Uint8Array): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
}

function blobOf(text: string): SeededBlob {
  return { digest: digestOf(text), text };
}

/** What artifacts have instead of a config and of layers. */
const EMPTY = blobOf("{}");

/** An image of a config and layers. */
export function seededImage(seed: string, layers: number = 1): SeededManifest {
  const config = blobOf(`{"architecture":"amd64","os":"linux","seed":"${seed}"}`);
  const blobs = Array.from({ length: layers }, (_, layer) => blobOf(`layer ${layer} of ${seed}`));
  const text =
    `{"schemaVersion":2,"mediaType":"${OCI_MANIFEST}","config":${descriptor(OCI_CONFIG, config)},` +
    `"layers":[${blobs.map((layer) => descriptor(OCI_LAYER, layer)).join()}]}`;
  return { ...blobOf(text), blobs: [config, ...blobs], artifactType: OCI_CONFIG };
}

/** An artifact that refers to a subject; each number is another one. */
export function seededArtifact(
  number: number,
  { subject, artifactType, annotationBytes = 0 }: Artifact,
): SeededManifest {
  const empty = descriptor(OCI_EMPTY, EMPTY);
  const annotations = `{"number":"${number}"${annotationBytes > 0 ? `,"filling":"${"x".repeat(annotationBytes)}"` : ""}}`;
  const text =
    `{"schemaVersion":2,"mediaType":"${OCI_MANIFEST}","artifactType":"${artifactType}","config":${empty},` +
    `"layers":[${empty}],"subject":{"mediaType":"${OCI_MANIFEST}","digest":"${subject.digest}","size":${subject.size}},` +
    `"annotations":${annotations}}`;
  return { ...blobOf(text), blobs: [EMPTY], artifactType, subject: subject.digest, annotations };
}

function descriptor(mediaType: string, { digest, text }: SeededBlob): string {
  return `{"mediaType":"${mediaType}","digest":"${digest}","size":${text.length}}`;
}
