/** The audit table: what was changed, by whom, from where, and by which rule; and commands until a server has logged them. */
import type { Cause, Change } from "./changes.ts";
import { integer, json, optional, query, text, word } from "./columns.ts";
import type { Database } from "./database.ts";
import { any, first, rows, run, statement } from "./sql.ts";
import type { Statement, Transaction } from "./sql.ts";

export interface AuditRecord {
  readonly id: number;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** `alice`, `robot:ci`, `job:…`, `anonymous`, or `system:root` for an operator. */
  readonly who: string;
  /** What was done; `operate` is a command of an operator. */
  readonly action: Change["action"] | "operate";
  readonly object: Change["object"] | undefined;
  readonly repository: string | undefined;
  readonly digest: string | undefined;
  readonly tags: readonly string[] | undefined;
  /** Such as `tag delete team/app:v1`. */
  readonly command: string | undefined;
  /** What allowed it. */
  readonly rule: string;
  readonly address: string | undefined;
  readonly userAgent: string | undefined;
  /** The id of the request. */
  readonly request: string | undefined;
}

/** Which records a list has; all where nothing is said. */
export interface AuditFilter {
  readonly who?: string | undefined;
  readonly repository?: string | undefined;
  readonly action?: string | undefined;
  /** Milliseconds since 1970. */
  readonly since?: number | undefined;
}

/** What allows a command. */
export const OPERATOR_RULE = "who may write the data folder";

const RECORD = {
  id: integer,
  at: integer,
  who: text,
  action: word("push", "mount", "delete", "sign", "operate"),
  object: optional(word("blob", "manifest", "tag", "repository")),
  repository: optional(text),
  digest: optional(text),
  tags: optional(json<readonly string[]>()),
  command: optional(text),
  rule: text,
  address: optional(text),
  userAgent: optional(text),
  request: optional(text),
};
const COLUMNS = `id, at, who, action, object, repository, digest, tags, command, rule, address, user_agent, request`;

const INSERT = `
  insert into audit (at, who, action, object, repository, digest, tags, rule, address, user_agent, request)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`;

const RECORD_COMMAND = `
  insert into audit (at, who, action, command, rule, logged) values ($1, $2, 'operate', $3, $4, 0)`;

const UNLOGGED = query(RECORD, `select ${COLUMNS} from audit where logged = 0 order by id limit $1`);
const LOGGED = `update audit set logged = 1 where logged = 0 and id <= $1`;
const FORGET_LOGGED = `delete from audit where id in (select id from audit where logged = 0 and id <= $1)`;

/** Of the $2 newest before an id, those that the filter allows: a page is bounded by what it looks at. */
const NEWEST = query(
  RECORD,
  `
  select ${COLUMNS} from (select * from audit where id < $1 order by id desc limit $2) as newest
  where ($3 is null or who = $3) and ($4 is null or repository = $4) and ($5 is null or action = $5)
    and ($6 is null or at >= cast($6 as bigint))
  order by id desc`,
);
const OLDEST_OF_PAGE = query(
  { id: optional(integer) },
  `select min(id) as id from (select id from audit where id < $1 order by id desc limit $2) as newest`,
);

const COUNT = query({ last: optional(integer) }, `select max(id) as last from audit`);

const HAS_OLD = `
  select 1 as found from (select id, at, logged from audit order by id limit 1) as oldest
  where logged = 1 and (id <= $1 or at < $2)`;

const REMOVE = query(
  { id: integer },
  `
  delete from audit where id in (
    select id from (select id, at, logged from audit order by id limit $3) as oldest
    where logged = 1 and (id <= $1 or at < $2))
  returning id`,
);

/** Returns the statement that records a change, for the transaction that makes it. */
export function insertAudit(change: Change, cause: Cause, now: number): Statement {
  const { action, object, repository, digest = null, tags } = change;
  const { who, rule, request } = cause;
  return statement(
    INSERT,
    now,
    who,
    action,
    object,
    repository,
    digest,
    tags && tags.length > 0 ? JSON.stringify(tags) : null,
    rule,
    request?.address ?? null,
    request?.userAgent ?? null,
    request?.id ?? null,
  );
}

export class Audit {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Records what an operator changed by a command: it waits for a server that writes it to the log. */
  recordCommand(who: string, command: string): Promise<void> {
    const { engine, clock } = this.#database;
    return engine.write(() => run(RECORD_COMMAND, clock.now(), who, command, OPERATOR_RULE));
  }

  /** The oldest commands that no server has written to the log yet, in the order in which they were recorded. */
  unlogged(limit: number): Promise<readonly AuditRecord[]> {
    return this.#database.engine.read(() => rows(UNLOGGED, limit));
  }

  /** Commands up to `id` are in the log: with `keep` they stay in the table. */
  logged(id: number, keep: boolean): Promise<void> {
    return this.#database.engine.write(() => run(keep ? LOGGED : FORGET_LOGGED, id));
  }

  /**
   * The newest records before an id that the filter allows, the newest first, of `limit` that it looks at. `next` is where the next
   * page begins; undefined when there are no more.
   */
  list(
    before: number,
    limit: number,
    { who, repository, action, since }: AuditFilter = {},
  ): Promise<{ readonly records: readonly AuditRecord[]; readonly next: number | undefined }> {
    return this.#database.engine.read(function* () {
      const filter = [who ?? null, repository ?? null, action ?? null, since ?? null] as const;
      const records = yield* rows(NEWEST, before, limit, ...filter);
      return { records, next: (yield* first(OLDEST_OF_PAGE, before, limit))?.id };
    });
  }

  /** Whether `remove` would remove the oldest record. */
  hasOld(before: number, keep: number): Promise<boolean> {
    return this.#database.engine.read(function* (): Transaction<boolean> {
      return yield* any(HAS_OLD, ((yield* first(COUNT))?.last ?? 0) - keep, before);
    });
  }

  /** Removes some of the oldest records, those before `before` and those beyond `keep`; returns how many. */
  remove(before: number, keep: number, limit: number): Promise<number> {
    return this.#database.engine.write(function* (): Transaction<number> {
      const last = (yield* first(COUNT))?.last ?? 0;
      return (yield* rows(REMOVE, last - keep, before, limit)).length;
    }, "soon");
  }
}
