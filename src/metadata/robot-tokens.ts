/** Statements about the tokens of robots. */
import type { Page, RobotTokenFacts } from "./metadata-store.ts";
import { moveAccounts } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const COLUMNS = "id, robot, secret_hash, grants, created_at, expires_at";

const FIND = `select ${COLUMNS} from robot_token where id = $1`;

const LIST = `select ${COLUMNS} from robot_token where id > $1 order by id limit $2`;

const ADD = `
  insert into robot_token (id, robot, secret_hash, grants, created_at, expires_at) values ($1, $2, $3, $4, $5, $6)`;

const REMOVE = `delete from robot_token where id = $1 returning id`;

const REMOVE_OF_ROBOT = `delete from robot_token where robot = $1 returning id`;

interface RobotToken {
  readonly id: string;
  readonly robot: string;
  readonly secret_hash: Uint8Array;
  readonly grants: string;
  readonly created_at: number;
  readonly expires_at: number | null;
}

export function* findRobotToken(id: string): Transaction<RobotTokenFacts | undefined> {
  const found = yield* first<RobotToken>(FIND, id);
  return found && factsOf(found);
}

export function* listRobotTokens(page: Page): Transaction<readonly RobotTokenFacts[]> {
  return (yield* rows<RobotToken>(LIST, page.after ?? "", page.limit)).map(factsOf);
}

export function* addRobotToken(token: Omit<RobotTokenFacts, "createdAt">, now: number): Transaction<void> {
  const { id, robot, secretHash, grants, expiresAt = null } = token;
  yield* rows(ADD, id, robot, secretHash, JSON.stringify(grants), now, expiresAt);
  yield* moveAccounts();
}

/** False when there is no such token. */
export function* removeRobotToken(id: string): Transaction<boolean> {
  if (!(yield* first(REMOVE, id))) return false;
  yield* moveAccounts();
  return true;
}

/** How many tokens the robot had. */
export function* removeRobot(robot: string): Transaction<number> {
  const removed = yield* rows(REMOVE_OF_ROBOT, robot);
  if (removed.length > 0) yield* moveAccounts();
  return removed.length;
}

function factsOf(token: RobotToken): RobotTokenFacts {
  return {
    id: token.id,
    robot: token.robot,
    secretHash: token.secret_hash,
    grants: JSON.parse(token.grants) as RobotTokenFacts["grants"],
    createdAt: token.created_at,
    expiresAt: token.expires_at ?? undefined,
  };
}
