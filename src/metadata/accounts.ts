/** Statements about users and what they log in with. */
import type { NewUser, Page, UserChange, UserFacts } from "./metadata-store.ts";
import { moveAccounts } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const COLUMNS = "name, password_hash, member_of, generation, created_at, changed_at";

const FIND = `select ${COLUMNS} from account where name = $1`;

const LIST = `select ${COLUMNS} from account where name > $1 order by name limit $2`;

const ADD = `
  insert into account (name, password_hash, member_of, generation, created_at, changed_at) values ($1, $2, $3, $4, $5, $5)
  on conflict (name) do nothing returning name`;

const CHANGE = `
  update account set password_hash = coalesce($2, password_hash), member_of = coalesce($3, member_of), generation = $4,
    changed_at = $5
  where name = $1 returning name`;

const REMOVE = `delete from account where name = $1 returning name`;

interface Account {
  readonly name: string;
  readonly password_hash: string;
  readonly member_of: string;
  readonly generation: string;
  readonly created_at: number;
  readonly changed_at: number;
}

export function* findUser(name: string): Transaction<UserFacts | undefined> {
  const found = yield* first<Account>(FIND, name);
  return found && factsOf(found);
}

export function* listUsers(page: Page): Transaction<readonly UserFacts[]> {
  return (yield* rows<Account>(LIST, page.after ?? "", page.limit)).map(factsOf);
}

/** False when there is a user of this name. */
export function* addUser(user: NewUser, now: number): Transaction<boolean> {
  const { name, passwordHash, groups, generation } = user;
  return yield* changed(first(ADD, name, passwordHash, JSON.stringify(groups), generation, now));
}

/** False when there is no such user. */
export function* changeUser(name: string, change: UserChange, now: number): Transaction<boolean> {
  const { passwordHash = null, groups, generation } = change;
  const memberOf = groups === undefined ? null : JSON.stringify(groups);
  return yield* changed(first(CHANGE, name, passwordHash, memberOf, generation, now));
}

/** False when there is no such user. */
export function* removeUser(name: string): Transaction<boolean> {
  return yield* changed(first(REMOVE, name));
}

/** Whether the statement changed a row, which is recorded then. */
function* changed(statement: Transaction<unknown>): Transaction<boolean> {
  if ((yield* statement) === undefined) return false;
  yield* moveAccounts();
  return true;
}

function factsOf(account: Account): UserFacts {
  return {
    name: account.name,
    passwordHash: account.password_hash,
    groups: JSON.parse(account.member_of) as string[],
    generation: account.generation,
    createdAt: account.created_at,
    changedAt: account.changed_at,
  };
}
