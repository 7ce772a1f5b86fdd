/** Signatures that are kept beside a manifest: the first seed's signature service, apart from manifests themselves. */
import { createHash } from "node:crypto";
import type { Digest } from "../oci/digest.ts";
import { OciError } from "../oci/error.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { manifestUnknown } from "../oci/unknown.ts";
import type { Signature } from "../oci/signature.ts";
import type { Backend } from "./backend.ts";
import { allowedByQuotas } from "./quota-refusal.ts";

export interface SignatureService {
  /** All signatures of the manifest; none when it has none, or is not here. */
  get(digest: Digest): Promise<readonly Uint8Array[]>;
  /** The same with their names, in byte order of those. */
  list(digest: Digest): Promise<readonly Signature[]>;
  /** Adds signatures; one that is there already is not added twice. Refused with `MANIFEST_UNKNOWN` on absence. */
  put(digest: Digest, ...signatures: readonly Uint8Array[]): Promise<void>;
  /**
   * Adds one under a name of its own. Refused with `SIGNATURE_EXISTS` when the name is taken, with `SIGNATURE_INVALID`
   * (413) when all of them together would be too large, with `MANIFEST_UNKNOWN` on absence.
   */
  add(digest: Digest, signature: Signature): Promise<void>;
}

/** Bytes of all signatures of a manifest: in base64 that is under the 4 MiB that clients read of them. */
const MAX_SIGNATURES_BYTES = 2 * 1024 * 1024;

export class LocalSignatures implements SignatureService {
  readonly #backend: Backend;
  readonly #name: RepositoryName;

  constructor(backend: Backend, name: RepositoryName) {
    this.#backend = backend;
    this.#name = name;
  }

  async get(digest: Digest): Promise<readonly Uint8Array[]> {
    return (await this.list(digest)).map(({ content }) => content);
  }

  list(digest: Digest): Promise<readonly Signature[]> {
    return this.#backend.metadata.signatures.list(this.#name, digest);
  }

  async put(digest: Digest, ...signatures: readonly Uint8Array[]): Promise<void> {
    // Named by their content: two that are equal are one.
    const byName = new Map(signatures.map((content) => [nameOf(digest, content), content]));
    const named = Array.from(byName, ([name, content]) => ({ name, content }));
    await this.#add(digest, named, "skip");
  }

  add(digest: Digest, signature: Signature): Promise<void> {
    return this.#add(digest, [signature], "refuse");
  }

  async #add(digest: Digest, signatures: readonly Signature[], taken: "refuse" | "skip"): Promise<void> {
    const { metadata, cause } = this.#backend;
    const limits = { maxBytes: MAX_SIGNATURES_BYTES, taken };
    switch (allowedByQuotas(await metadata.signatures.put(this.#name, digest, signatures, limits, cause))) {
      case "done":
        return;
      case "absent":
        throw manifestUnknown(this.#name, { digest });
      case "exists":
        throw new OciError("SIGNATURE_EXISTS", {
          message: "a signature of this name already exists: use another name",
          detail: { names: signatures.map(({ name }) => name) },
        });
      case "full":
        throw new OciError("SIGNATURE_INVALID", {
          status: 413,
          message: `the signatures of a manifest may have ${MAX_SIGNATURES_BYTES} bytes in total: remove some`,
          detail: { limit: MAX_SIGNATURES_BYTES },
        });
    }
  }
}

/** The form that clients of the signature extension use: `<manifest digest>@<32 hexadecimal digits>`. */
function nameOf(digest: Digest, content: Uint8Array): string {
  return `${digest}@${createHash("sha256").update(content).digest("hex").slice(0, 32)}`;
}
