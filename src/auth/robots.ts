/**
 * Robots: what machines log in with. A robot has tokens, each with its own grants and its own end; to change one, make
 * another and revoke the first. Only a hash of a token is kept: its secret is as long as a key, so that a plain hash is enough.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import type { Metadata } from "../metadata/metadata.ts";
import type { RobotTokenRecord } from "../metadata/robot-tokens.ts";
import type { Action, Grant, Identity } from "./identity.ts";
import type { Reason } from "./verifier.ts";

/** Begins with a word by which scanners for secrets can find it. */
const TOKEN = /^stw_([0-9a-f]{12})_([\w-]{43})$/;

/** Whether a password can only be a robot's token. */
export function looksLikeRobotToken(password: string): boolean {
  return password.startsWith("stw_");
}

/** Whether a text can be a pattern of repositories that a token is for, such as `team/**`. */
export function isRepositoryPattern(text: string): boolean {
  return /^[a-z0-9*][a-z0-9*._/-]*$/.test(text);
}

/** What may be shown of a token. */
export interface RobotToken {
  readonly id: string;
  readonly robot: string;
  readonly grants: readonly Grant[];
  readonly createdAt: number;
  /** Undefined for never. */
  readonly expiresAt: number | undefined;
}

export class Robots {
  readonly #metadata: Metadata;
  readonly #clock: Clock;

  constructor(metadata: Metadata, clock: Clock) {
    this.#metadata = metadata;
    this.#clock = clock;
  }

  /** Creates a token. The returned secret is shown once and not stored. */
  async create(robot: string, grants: readonly Grant[], expiresAt: number | undefined): Promise<NewRobotToken> {
    const id = randomBytes(6).toString("hex");
    const secret = randomBytes(32).toString("base64url");
    await this.#metadata.robotTokens.add({ id, robot, secretHash: hashOf(secret), grants, expiresAt });
    return { id, token: `stw_${id}_${secret}` };
  }

  /** All tokens, expired ones too, in order of their robots and their age. */
  async list(): Promise<readonly RobotToken[]> {
    const found: RobotToken[] = [];
    for (let after = ""; ;) {
      const page = await this.#metadata.robotTokens.list({ after, limit: 1000 });
      found.push(...page.map(shown));
      const last = page.at(-1);
      if (!last)
        return found.toSorted((a, b) => (a.robot === b.robot ? a.createdAt - b.createdAt : a.robot < b.robot ? -1 : 1));
      after = last.id;
    }
  }

  /** Takes effect at once, in every process. False when there is no such token. */
  revoke(id: string): Promise<boolean> {
    return this.#metadata.robotTokens.remove(id);
  }

  /** Revokes all tokens of a robot and gives how many it had. */
  revokeAll(robot: string): Promise<number> {
    return this.#metadata.robotTokens.removeAllOf(robot);
  }

  /** Returns the robot and the expiry (undefined: never), or why the token is rejected for the robot of this name. */
  async identify(name: string, password: string): Promise<KnownRobot | Reason> {
    const [, id, secret] = TOKEN.exec(password) ?? [];
    if (id === undefined || secret === undefined) return "malformed";
    const token = await this.#metadata.robotTokens.find(id);
    if (!token || !timingSafeEqual(hashOf(secret), token.secretHash)) return "unknown token";
    if (token.robot !== name) return "other robot";
    if (!this.#isLive(token)) return "expired";
    return { identity: identityOf(name, token.id, shown(token).grants), expiresAt: token.expiresAt };
  }

  /** A robot with all that it may do, by whichever of its tokens. */
  async find(robot: string): Promise<Identity | undefined> {
    const tokens = (await this.list()).filter((token) => token.robot === robot && this.#isLive(token));
    const [first] = tokens;
    return (
      first &&
      identityOf(
        robot,
        first.id,
        tokens.flatMap(({ grants }) => grants),
      )
    );
  }

  /** The token, when it has not expired. */
  async findLive(id: string): Promise<RobotTokenRecord | undefined> {
    const token = await this.#metadata.robotTokens.find(id);
    return token && this.#isLive(token) ? token : undefined;
  }

  #isLive({ expiresAt = Infinity }: Pick<RobotTokenRecord, "expiresAt">): boolean {
    return this.#clock.now() < expiresAt;
  }
}

interface KnownRobot {
  readonly identity: Identity;
  readonly expiresAt: number | undefined;
}

export interface NewRobotToken {
  readonly id: string;
  readonly token: string;
}

/** A token never changes, so its id is the generation. */
function identityOf(robot: string, id: string, bound: readonly Grant[]): Identity {
  return { kind: "robot", name: robot, groups: [], bound, generation: id };
}

function shown({ id, robot, grants, createdAt, expiresAt }: RobotTokenRecord): RobotToken {
  return {
    id,
    robot,
    grants: grants as readonly { repositories: string; actions: readonly Action[] }[],
    createdAt,
    expiresAt,
  };
}

function hashOf(secret: string): Uint8Array {
  return createHash("sha256").update(secret).digest();
}
