/** Signatures that are kept beside a manifest. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import { record } from "./changes.ts";
import type { Cause } from "./changes.ts";
import { bytes, integer, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import { digestBytes } from "./digest-bytes.ts";
import { writeWithin } from "./quotas.ts";
import type { QuotaProblem } from "./quotas.ts";
import { findManifest, findRepository } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { batch, bound, listed, rows, rowsOfBoth, statement } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const LIST = query(
  { name: text, content: bytes },
  `
  select s.name, s.content from repo r join manifest m on m.repo = r.id join signature s on s.manifest = m.id
  where r.name = $1 and m.digest = $2 order by s.name`,
);

const BYTES = query(
  { bytes: integer },
  `select coalesce(sum(length(content)), 0) as bytes from signature where manifest = $1`,
);

const TAKEN = query(
  { name: text },
  `select name from signature where manifest = $1 and name in (select value from json_each($2))`,
);

const ADD = `insert into signature (manifest, name, repo, content) values ($1, $2, $3, $4)`;

/** "full" when all signatures of the manifest would have too many bytes together, "exists" when a name is taken. */
export type PutSignaturesResult = "done" | "absent" | "exists" | "full";

export class Signatures {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** In byte order of their names. */
  list(name: RepositoryName, manifest: Digest): Promise<readonly Signature[]> {
    return this.#database.engine.read(() => rows(LIST, name, digestBytes(manifest)));
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
    cause?: Cause,
  ): Promise<PutSignaturesResult | QuotaProblem> {
    const { recorder, clock } = this.#database;
    const addition = { signatures: { manifest, given: signatures } };
    return writeWithin(this.#database, name, addition, function* (): Transaction<PutSignaturesResult> {
      const repo = yield* findRepository(name);
      const id = repo === undefined ? undefined : yield* findManifest(repo, manifest);
      if (repo === undefined || id === undefined) return "absent";
      const given = bound(TAKEN, id, listed(signatures.map((signature) => signature.name)));
      const [found, [before]] = yield* rowsOfBoth(given, bound(BYTES, id));
      const names = new Set(found.map((signature) => signature.name));
      if (names.size > 0 && taken === "refuse") return "exists";
      const fresh = signatures.filter((signature) => !names.has(signature.name));
      if (fresh.length === 0) return "done";
      const size = fresh.reduce((sum, { content }) => sum + content.length, before?.bytes ?? 0);
      if (size > maxBytes) return "full";
      yield* batch(...fresh.map((signature) => statement(ADD, id, signature.name, repo, signature.content)));
      yield* moveRepository(repo);
      const change = { action: "sign", object: "manifest", repository: name, digest: manifest } as const;
      yield* record(recorder, cause, clock.now(), change);
      return "done";
    });
  }
}
