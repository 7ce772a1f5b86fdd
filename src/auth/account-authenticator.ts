/** Proves who somebody is against everything that there are accounts in. */
import { createHash } from "node:crypto";
import type { Clock } from "../lib/clock.ts";
import { SingleFlight } from "../lib/single-flight.ts";
import { JOB_USER } from "./account-name.ts";
import { OciError } from "../oci/error.ts";
import { FILE_GENERATION } from "./htpasswd.ts";
import type { HtpasswdFile } from "./htpasswd.ts";
import type { Authenticator, Identity } from "./identity.ts";
import type { Jobs } from "./jobs.ts";
import { LoginThrottle } from "./login-throttle.ts";
import type { Passwords } from "./passwords.ts";
import { looksLikeRobotToken } from "./robots.ts";
import type { Robots } from "./robots.ts";
import type { Users } from "./users.ts";
import { VerifiedCredentials, basicCredentials } from "./verified-credentials.ts";

/** Longer ones are nobody's, and would need room in everything that remembers names. */
const MAX_NAME_LENGTH = 256;

/** Longer ones are nobody's, and would make hashing slow. A job's token is longer. */
const MAX_PASSWORD_LENGTH = 1024;

/** More proofs under way would wait for longer than clients do: whoever was let in a moment ago needs none. */
const MAX_UNDER_WAY = 100;

/** A hash of nobody's password, with the parameters that new ones have. */
const NOBODYS_HASH =
  "$argon2id$v=19$m=19456,t=2,p=1$1sZBBuVOPXlgUUcMA5s91ux2UElcIRvGKtR7TS10QdQ$kNwY9/2cD1kHomDFWwp/tIL7SnRVe2+Ws6aFcn8HYkE";

/** Whom something was issued to. */
type Holder = Parameters<Authenticator["isCurrent"]>[0];

/** The generation that an account has; undefined when there is none. */
interface Look {
  readonly generation: string | undefined;
  /** Milliseconds since 1970: robots end by themselves. */
  readonly until: number;
}

/** Bounds the memory while nothing is committed. */
const MAX_LOOKS = 10_000;

interface Accounts {
  readonly file: HtpasswdFile | undefined;
  readonly users: Users | undefined;
  readonly robots: Robots | undefined;
  readonly jobs: Jobs | undefined;
  readonly passwords: Passwords;
  readonly clock: Clock;
  /** Another number as soon as something was committed. */
  readonly revision: () => number;
}

interface Proven {
  readonly identity: Identity;
  /** Milliseconds since 1970 until which it may be remembered; absent for as long as the account is the same. */
  readonly until?: number;
}

export class AccountAuthenticator implements Authenticator {
  readonly #accounts: Accounts;
  readonly #verified: VerifiedCredentials;
  readonly #throttle: LoginThrottle;
  /** Verifications under way by credentials: concurrent requests with the same ones share one hash. */
  readonly #verifications = new SingleFlight<string, Identity | undefined>();
  /** What was looked up at this revision of the database. */
  readonly #looks = new Map<string, Look>();
  /** The same by those who asked for it: nothing is found quicker than an object. */
  #known = new WeakMap<Holder, Look>();
  #revision = -1;

  constructor(accounts: Accounts) {
    this.#accounts = accounts;
    this.#verified = new VerifiedCredentials(accounts.clock);
    this.#throttle = new LoginThrottle(accounts.clock);
  }

  async authenticate(name: string, password: string, address: string | undefined): Promise<Identity | undefined> {
    if (name.length > MAX_NAME_LENGTH || name.includes(":")) return undefined;
    const key = this.#verified.keyOf(basicCredentials(name, password));
    const known = this.#verified.find(key);
    if (known && (await this.isCurrent(known))) return known;
    if (!this.#verifications.has(key) && this.#verifications.size >= MAX_UNDER_WAY) {
      throw new OciError("TOOMANYREQUESTS", { message: "too many logins at once: try again", retryAfterSeconds: 5 });
    }
    return await this.#verifications.run(key, () => this.#proveOnce(key, name, password, address));
  }

  remembered(credentials: string): Identity | undefined {
    const known = this.#verified.find(this.#verified.keyOf(credentials));
    return known && this.#isCurrentAtOnce(known) === true ? known : undefined;
  }

  isCurrent(identity: Holder): Promise<boolean> | boolean {
    return this.#isCurrentAtOnce(identity) ?? this.#isCurrentNow(identity);
  }

  async find(kind: Identity["kind"], name: string): Promise<Identity | undefined> {
    switch (kind) {
      case "user":
        return (await this.#findUser(name))?.identity;
      case "robot":
        return await this.#accounts.robots?.find(name);
      case "job":
        return undefined;
    }
  }

  async #proveOnce(
    key: string,
    name: string,
    password: string,
    address: string | undefined,
  ): Promise<Identity | undefined> {
    const { robots, jobs } = this.#accounts;
    let proven: Proven | undefined;
    // What nobody can guess is not slowed: many jobs have one name and one address, and good tokens come beside stale ones.
    if (jobs !== undefined && name === JOB_USER) proven = await jobs.identify(password);
    else if (robots !== undefined && looksLikeRobotToken(password)) {
      const identity = await robots.identify(name, password);
      proven = identity && { identity };
    } else proven = await this.#proveGuessable(name, password, address);
    if (!proven) {
      this.#verified.forget(key);
      return undefined;
    }
    this.#verified.remember(key, proven.identity, proven.until);
    return proven.identity;
  }

  async #proveGuessable(name: string, password: string, address: string | undefined): Promise<Proven | undefined> {
    const attempt = this.#throttle.begin(name, address);
    try {
      const proven = await this.#proveUser(name, password);
      if (proven) attempt.succeed();
      return proven;
    } catch (error) {
      attempt.forgive();
      throw error;
    }
  }

  /** Exactly one hash is computed, whoever it is. */
  async #proveUser(name: string, password: string): Promise<Proven | undefined> {
    const user = await this.#findUser(name);
    const isRight = await this.#accounts.passwords.verify(
      password.slice(0, MAX_PASSWORD_LENGTH),
      user?.hash ?? this.#decoyFor(name),
    );
    return user && isRight && password.length <= MAX_PASSWORD_LENGTH ? { identity: user.identity } : undefined;
  }

  async #findUser(name: string): Promise<{ readonly hash: string; readonly identity: Identity } | undefined> {
    const entry = this.#accounts.file?.find(name);
    if (entry) {
      return { hash: entry.hash, identity: { kind: "user", name, groups: [], generation: entry.generation } };
    }
    const user = await this.#accounts.users?.find(name);
    return (
      user && {
        hash: user.passwordHash,
        identity: { kind: "user", name, groups: user.groups, generation: user.generation },
      }
    );
  }

  /**
   * What is computed for a name that nobody has: always the same for the same name, and among all names as costly as the hashes
   * of users are among users. So the time tells nothing.
   */
  #decoyFor(name: string): string {
    const hashes = [...(this.#accounts.file?.hashes ?? []), ...(this.#accounts.users ? [NOBODYS_HASH] : [])];
    const number = createHash("sha256").update(this.#verified.keyOf(name)).digest().readUInt32BE();
    return hashes[number % hashes.length] ?? NOBODYS_HASH;
  }

  /** Undefined when the database has to be asked. */
  #isCurrentAtOnce(holder: Holder): boolean | undefined {
    const { kind, name, generation } = holder;
    const { file, jobs, clock } = this.#accounts;
    if (kind === "job") return jobs?.isCurrent(generation) ?? false;
    const entry = kind === "user" ? file?.find(name) : undefined;
    if (entry || generation.startsWith(FILE_GENERATION)) return entry?.generation === generation;
    const look = this.#revision === this.#accounts.revision() ? this.#lookOf(holder) : undefined;
    return look && clock.now() < look.until ? look.generation === generation : undefined;
  }

  /** Asks the database: whatever process changed the account, it is noticed with the next request. */
  async #isCurrentNow(holder: Holder): Promise<boolean> {
    const { kind, name, generation } = holder;
    const revision = this.#accounts.revision();
    const look = kind === "user" ? await this.#lookForUser(name) : await this.#lookForRobot(name, generation);
    if (this.#revision !== revision || this.#looks.size >= MAX_LOOKS) {
      this.#looks.clear();
      this.#known = new WeakMap();
    }
    this.#revision = revision;
    this.#looks.set(lookKey(holder), look);
    this.#known.set(holder, look);
    return look.generation === generation;
  }

  /** As far as it is known without asking. */
  #lookOf(holder: Holder): Look | undefined {
    let look = this.#known.get(holder);
    if (!look && (look = this.#looks.get(lookKey(holder)))) this.#known.set(holder, look);
    return look;
  }

  async #lookForUser(name: string): Promise<Look> {
    return { generation: (await this.#accounts.users?.find(name))?.generation, until: Infinity };
  }

  async #lookForRobot(name: string, id: string): Promise<Look> {
    const token = await this.#accounts.robots?.findLive(id);
    return token?.robot === name
      ? { generation: token.id, until: token.expiresAt ?? Infinity }
      : { generation: undefined, until: Infinity };
  }
}

/** A robot has a generation for each of its tokens. */
function lookKey({ kind, name, generation }: Holder): string {
  return kind === "robot" ? `robot ${generation} ${name}` : `user ${name}`;
}
