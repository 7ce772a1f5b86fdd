/** Signatures that are kept beside a manifest: the first seed's signature service, apart from manifests themselves. */
import { createHash } from "node:crypto";
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Backend } from "./backend.ts";
import { absent } from "./repository-absence.ts";

export interface SignatureService {
  /** All signatures of the manifest; none when it has none, or is not here. */
  get(digest: Digest): Promise<readonly Uint8Array[]>;
  /** Adds signatures; one that is there already is not added twice. Refused with `MANIFEST_UNKNOWN` on absence. */
  put(digest: Digest, ...signatures: readonly Uint8Array[]): Promise<void>;
}

export class LocalSignatures implements SignatureService {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  async get(digest: Digest): Promise<readonly Uint8Array[]> {
    const found = await this.#backend.metadata.signatures(this.#name, digest);
    return found.map((signature) => signature.content);
  }

  async put(digest: Digest, ...signatures: readonly Uint8Array[]): Promise<void> {
    const known = new Set((await this.#backend.metadata.signatures(this.#name, digest)).map(({ name }) => name));
    // Named by their content: two that are equal are one.
    const fresh = new Map(signatures.map((content) => [nameOf(digest, content), content]));
    const added = [...fresh].filter(([name]) => !known.has(name)).map(([name, content]) => ({ name, content }));
    const result = await this.#backend.metadata.putSignatures(this.#name, digest, added);
    if (result === "absent") await absent(this.#backend, this.#name, "MANIFEST_UNKNOWN", { digest });
    if (result === "exists") {
      throw new OciError("UNAVAILABLE", { message: "the same signature is being added just now: try again" });
    }
  }
}

/** The form that clients of the signature extension use: `<manifest digest>@<32 hexadecimal digits>`. */
function nameOf(digest: Digest, content: Uint8Array): string {
  return `${digest}@${createHash("sha256").update(content).digest("hex").slice(0, 32)}`;
}
