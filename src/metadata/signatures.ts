/** Signatures that are kept beside a manifest. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import { bytes, integer, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { findRepository, hasManifest, hasSignature } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { first, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const LIST = query(
  { name: text, content: bytes },
  `
  select s.name, s.content from repo r join signature s on s.repo = r.id
  where r.name = $1 and s.manifest = $2 order by s.name`,
);

const BYTES = query(
  { bytes: integer },
  `select coalesce(sum(length(content)), 0) as bytes from signature where repo = $1 and manifest = $2`,
);

const ADD = `insert into signature (repo, manifest, name, content) values ($1, $2, $3, $4)`;

/** "full" when all signatures of the manifest would have too many bytes together, "exists" when a name is taken. */
export type PutSignaturesResult = "done" | "absent" | "exists" | "full";

export class Signatures {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** In byte order of their names. */
  list(name: RepositoryName, manifest: Digest): Promise<readonly Signature[]> {
    return this.#database.engine.read(() => rows(LIST, name, manifest));
  }

  /**
   * "absent" when there is no such manifest, "full" when its signatures would have more than `maxBytes` together. Of names
   * that are taken `taken` says whether they are an error ("exists") or skipped.
   */
  put(
    name: RepositoryName,
    manifest: Digest,
    signatures: readonly Signature[],
    { maxBytes, taken }: { readonly maxBytes: number; readonly taken: "refuse" | "skip" },
  ): Promise<PutSignaturesResult | QuotaProblem> {
    const addition = { signatures: { manifest, given: signatures } };
    return writeWithin(this.#database, name, addition, function* (): Transaction<PutSignaturesResult> {
      const repo = yield* findRepository(name);
      if (repo === undefined || !(yield* hasManifest(repo, manifest))) return "absent";
      const fresh: Signature[] = [];
      for (const signature of signatures) {
        if (!(yield* hasSignature(repo, manifest, signature.name))) fresh.push(signature);
        else if (taken === "refuse") return "exists";
      }
      if (fresh.length === 0) return "done";
      const before = yield* first(BYTES, repo, manifest);
      const size = fresh.reduce((sum, { content }) => sum + content.length, before?.bytes ?? 0);
      if (size > maxBytes) return "full";
      for (const signature of fresh) yield* run(ADD, repo, manifest, signature.name, signature.content);
      yield* moveRepository(repo);
      return "done";
    });
  }
}
