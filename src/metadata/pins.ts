/** Pins: manifests that collection keeps whatever points at them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { digest, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import type { Page } from "./page.ts";
import { findManifest, findRepository } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { any, batch, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { digestBytes } from "./digest-bytes.ts";
import { enqueueManifests } from "./gc-queue.ts";

/** A manifest that is kept on purpose, and why. */
export interface Pin {
  readonly digest: Digest;
  readonly why: string;
}

const PIN = `
  insert into pin (manifest, why) values ($1, $2) on conflict (manifest) do update set why = excluded.why`;

const UNPIN = `delete from pin where manifest = $1 returning manifest`;

const LIST = query(
  { digest, why: text },
  `
  select m.digest, p.why from repo r join manifest m on m.repo = r.id cross join pin p on p.manifest = m.id
  where r.name = $1 and m.digest > $2 order by m.digest limit $3`,
);

export class Pins {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** False when the repository has no such manifest. One that is pinned already gets the new reason. */
  add(name: RepositoryName, manifest: Digest, why: string): Promise<boolean> {
    return this.#database.engine.write(function* (): Transaction<boolean> {
      const repo = yield* findRepository(name);
      const id = repo === undefined ? undefined : yield* findManifest(repo, manifest);
      if (repo === undefined || id === undefined) return false;
      yield* run(PIN, id, why);
      yield* moveRepository(repo);
      return true;
    });
  }

  /** False when it was not pinned. What the pin held is enqueued for collection. */
  remove(name: RepositoryName, manifest: Digest): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<boolean> {
      const repo = yield* findRepository(name);
      const id = repo === undefined ? undefined : yield* findManifest(repo, manifest);
      if (repo === undefined || id === undefined || !(yield* any(UNPIN, id))) return false;
      yield* moveRepository(repo);
      yield* batch(enqueueManifests([id], clock.now()));
      return true;
    });
  }

  /** What is pinned, in order of the digests. */
  list(name: RepositoryName, { after = "", limit }: Page): Promise<readonly Pin[]> {
    return this.#database.engine.read(() => rows(LIST, name, digestBytes(after), limit));
  }
}
