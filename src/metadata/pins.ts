/** Pins: manifests that collection keeps whatever points at them. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { digest, query, text } from "./columns.ts";
import type { Database } from "./database.ts";
import type { Page } from "./page.ts";
import { findRepository, hasManifest } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { any, rows, run } from "./sql.ts";
import type { Transaction } from "./sql.ts";
import { enqueueManifest } from "./gc-queue.ts";

/** A manifest that is kept on purpose, and why. */
export interface Pin {
  readonly digest: Digest;
  readonly why: string;
}

const PIN = `
  insert into pin (repo, digest, why) values ($1, $2, $3) on conflict (repo, digest) do update set why = excluded.why`;

const UNPIN = `delete from pin where repo = $1 and digest = $2 returning digest`;

const LIST = query(
  { digest, why: text },
  `
  select p.digest, p.why from repo r join pin p on p.repo = r.id
  where r.name = $1 and p.digest > $2 order by p.digest limit $3`,
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
      if (repo === undefined || !(yield* hasManifest(repo, manifest))) return false;
      yield* run(PIN, repo, manifest, why);
      yield* moveRepository(repo);
      return true;
    });
  }

  /** False when it was not pinned. What the pin held is enqueued for collection. */
  remove(name: RepositoryName, manifest: Digest): Promise<boolean> {
    const { engine, clock } = this.#database;
    return engine.write(function* (): Transaction<boolean> {
      const repo = yield* findRepository(name);
      if (repo === undefined || !(yield* any(UNPIN, repo, manifest))) return false;
      yield* moveRepository(repo);
      yield* enqueueManifest(repo, manifest, clock.now());
      return true;
    });
  }

  /** What is pinned, in order of the digests. */
  list(name: RepositoryName, { after = "", limit }: Page): Promise<readonly Pin[]> {
    return this.#database.engine.read(() => rows(LIST, name, after, limit));
  }
}
