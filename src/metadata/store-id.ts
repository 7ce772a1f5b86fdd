/** Which blobs belong to which database: both have the same id, so that none of them is ever used with another one. */
import { randomUUID } from "node:crypto";
import { bytes, query, truth } from "./columns.ts";
import { first, run } from "./sql.ts";
import type { SqlEngine, Transaction } from "./sql.ts";

/** Where the bytes of blobs are, as far as its id is concerned. */
export interface IdentifiedStore {
  /** In words for an operator. */
  readonly name: string;
  readId(): Promise<string | undefined>;
  writeId(id: string): Promise<void>;
  /** Whether bytes of blobs may lie there. */
  hasBlobs(): Promise<boolean>;
}

/** The database and the place of the bytes do not belong together; the message says what to do. */
export class StoreMismatchError extends Error {
  override readonly name = "StoreMismatchError";
}

const FIND = query({ value: bytes }, `select value from secret where name = 'store id'`);
const ADD = `insert into secret (name, value) values ('store id', $1) on conflict (name) do nothing`;
const HAS_FILES = query({ found: truth }, `select exists (select 1 from blob where storage_key is not null) as found`);

function* ensureId(): Transaction<string> {
  yield* run(ADD, new TextEncoder().encode(randomUUID()));
  return textOf((yield* first(FIND))?.value);
}

/** Throws `StoreMismatchError` when the database belongs to other bytes than these; they belong together from then on. */
export async function bindStore(engine: SqlEngine, store: IdentifiedStore): Promise<void> {
  const [known, found] = [(await engine.read(() => first(FIND)))?.value, await store.readId()];
  if (known !== undefined && found === textOf(known)) return;
  if (known !== undefined && found !== undefined) {
    throw new StoreMismatchError(
      `${store.name} belongs to another database: see that database.url and the storage are those of the same registry`,
    );
  }
  if (found !== undefined || (known === undefined && (await store.hasBlobs()))) {
    throw new StoreMismatchError(
      `${store.name} holds blobs that the database does not know: see that database.url is that of this registry, ` +
        "or give an empty place",
    );
  }
  if (known !== undefined && (await engine.read(() => first(HAS_FILES)))?.found) {
    throw new StoreMismatchError(
      `the database knows blobs, and ${store.name} is not where they are: see that the storage is that of this registry`,
    );
  }
  await store.writeId(await engine.write(ensureId));
}

function textOf(value: Uint8Array | undefined): string {
  return new TextDecoder().decode(value);
}
