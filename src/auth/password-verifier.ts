/** Verifies passwords of users in an htpasswd file and in the database, the file first. */
import { OciError } from "../oci/error.ts";
import type { CachedGenerations } from "./cached-generations.ts";
import { DUMMY_HASH, decoyFor } from "./decoy-hashes.ts";
import { HashQueue } from "./hash-queue.ts";
import { FILE_GENERATION } from "./htpasswd.ts";
import type { HtpasswdFile } from "./htpasswd.ts";
import type { Identity } from "./identity.ts";
import { LoginThrottle } from "./login-throttle.ts";
import { hashCost } from "./passwords.ts";
import type { Passwords } from "./passwords.ts";
import type { Users } from "./users.ts";
import { NO_BASIS, rejection } from "./verifier.ts";
import type { AccountVerifier, BasicCredentials, Basis, Credentials, Verdict } from "./verifier.ts";
import type { Clock } from "../lib/clock.ts";

/** Longer names do not exist, and would fill caches. */
export const MAX_NAME_LENGTH = 256;

/** Longer passwords do not exist, and would make hashing slow. */
const MAX_PASSWORD_LENGTH = 1024;

export interface PasswordVerifierParts {
  readonly file: HtpasswdFile | undefined;
  readonly users: Users | undefined;
  readonly generations: CachedGenerations;
  readonly passwords: Passwords;
  /** A secret shared by all processes on this database. */
  readonly secret: () => Promise<Uint8Array>;
  readonly clock: Clock;
}

export class PasswordVerifier implements AccountVerifier {
  readonly #parts: PasswordVerifierParts;
  readonly #throttle: LoginThrottle;
  readonly #queue: HashQueue;

  constructor(parts: PasswordVerifierParts) {
    this.#parts = parts;
    this.#throttle = new LoginThrottle(parts.clock);
    this.#queue = new HashQueue(parts.passwords.maxConcurrent, parts.clock);
  }

  takes({ kind }: Credentials): boolean {
    return kind === "basic";
  }

  async verify(credentials: BasicCredentials, address: string | undefined): Promise<Verdict> {
    // In a header a name ends at its first colon (RFC 7617, 2): elsewhere it has none either.
    if (credentials.name.length > MAX_NAME_LENGTH || credentials.name.includes(":")) return rejection("unknown user");
    const attempt = this.#throttle.begin(credentials, address);
    if (!attempt) return rejection("throttled", tooManyFailures());
    try {
      const verdict = await this.#verify(credentials, attempt.turn);
      if (verdict.kind === "proof") attempt.succeed();
      else if (verdict.reason === "throttled") attempt.forgive();
      else attempt.fail();
      return verdict;
    } catch (error) {
      attempt.forgive();
      throw error;
    }
  }

  basisOf({ kind, name }: Identity): Basis | undefined {
    return kind === "user" ? this.#basisOf(name) : undefined;
  }

  async find(kind: Identity["kind"], name: string): Promise<Identity | undefined> {
    return kind === "user" ? (await this.#find(name))?.identity : undefined;
  }

  /** Exactly one hash is computed, whether there is such a user or not. `turn` is its place in the queue. */
  async #verify({ name, password }: BasicCredentials, turn: string): Promise<Verdict> {
    const { passwords } = this.#parts;
    const [user, decoy] = await Promise.all([this.#find(name), this.#decoyFor(name)]);
    const isRight = await this.#queue.run(turn, () =>
      passwords.verify(password.slice(0, MAX_PASSWORD_LENGTH), user?.hash ?? decoy),
    );
    if (isRight === undefined) return rejection("throttled", tooManyLogins());
    if (!user) return rejection("unknown user");
    if (!isRight || password.length > MAX_PASSWORD_LENGTH) return rejection("wrong password");
    const { identity } = user;
    const { generation } = identity;
    return { kind: "proof", principal: identity, expiresAt: Infinity, basis: this.#basisOf(name), generation };
  }

  async #find(name: string): Promise<{ readonly hash: string; readonly identity: Identity } | undefined> {
    const entry = this.#parts.file?.find(name);
    if (entry) {
      return { hash: entry.hash, identity: { kind: "user", name, groups: [], generation: entry.generation } };
    }
    const user = await this.#parts.users?.find(name);
    if (!user || !hashCost(user.passwordHash)?.isAffordable) return undefined;
    return {
      hash: user.passwordHash,
      identity: { kind: "user", name, groups: user.groups, generation: user.generation },
    };
  }

  async #decoyFor(name: string): Promise<string> {
    const { file, users, secret } = this.#parts;
    const classes = [...(file?.hashClasses ?? [])];
    if (users) classes.push({ hash: DUMMY_HASH, label: hashCost(DUMMY_HASH)?.label ?? "", count: 1 });
    return classes.length > 1 ? decoyFor(name, classes, await secret()) : (classes[0]?.hash ?? DUMMY_HASH);
  }

  #basisOf(name: string): Basis {
    const { file, users, generations } = this.#parts;
    const stored = users
      ? generations.of(`user ${name}`, async () => ({ generation: (await users.find(name))?.generation }))
      : NO_BASIS;
    return new UserBasis(name, file, stored);
  }
}

/** The file is stat'ed at each request, at most once per millisecond. */
class UserBasis implements Basis {
  readonly #name: string;
  readonly #file: HtpasswdFile | undefined;
  readonly #stored: Basis;

  constructor(name: string, file: HtpasswdFile | undefined, stored: Basis) {
    this.#name = name;
    this.#file = file;
    this.#stored = stored;
  }

  isAt(generation: string): boolean | Promise<boolean> {
    const entry = this.#file?.find(this.#name);
    if (entry || generation.startsWith(FILE_GENERATION)) return entry?.generation === generation;
    return this.#stored.isAt(generation);
  }
}

function tooManyFailures(): OciError {
  return new OciError("TOOMANYREQUESTS", {
    message: "too many failed logins: try again in a second, and check the user name and the password",
    retryAfterSeconds: 1,
  });
}

function tooManyLogins(): OciError {
  return new OciError("TOOMANYREQUESTS", { message: "too many logins at once: try again", retryAfterSeconds: 5 });
}
