/** Ways to log in under test, on a database in memory, with a clock that stands still until it is moved. */
import { pino } from "pino";
import { MemoryEngine } from "../../metadata/memory/memory-engine.ts";
import { Metadata } from "../../metadata/metadata.ts";
import type { Logger } from "../../observe/logger.ts";
import { accountVerifiers } from "../accounts.ts";
import type { AccountSettings } from "../accounts.ts";
import { Authentication } from "../authentication.ts";
import type { Outcome } from "../authentication.ts";
import { basicHeader } from "../credentials.ts";
import type { Identity } from "../identity.ts";
import { Policy } from "../policy.ts";
import { Robots } from "../robots.ts";
import { Users } from "../users.ts";
import type { AccountVerifier } from "../verifier.ts";
import { CountingPasswords, hashOf } from "./passwords.ts";

export const ADDRESS = "192.0.2.1";

export class StillClock {
  ms: number;

  constructor(ms: number = 1_700_000_000_000) {
    this.ms = ms;
  }

  now(): number {
    return this.ms;
  }
}

/** A log whose lines can be read again. */
export function readableLog(): { readonly log: Logger; readonly lines: readonly Readonly<Record<string, unknown>>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "debug" }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}

export class AuthSubject implements AsyncDisposable {
  readonly clock: StillClock;
  readonly passwords: CountingPasswords;
  readonly users: Users;
  readonly robots: Robots;
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  readonly #metadata: Metadata;
  readonly #log: Logger;

  private constructor(metadata: Metadata, clock: StillClock, passwords: CountingPasswords) {
    this.clock = clock;
    this.passwords = passwords;
    this.#metadata = metadata;
    this.users = new Users(metadata);
    this.robots = new Robots(metadata, clock);
    const { log, lines } = readableLog();
    this.#log = log;
    this.lines = lines;
  }

  static async open(
    clock: StillClock = new StillClock(),
    passwords: CountingPasswords = new CountingPasswords(),
  ): Promise<AuthSubject> {
    return new AuthSubject(new Metadata(await MemoryEngine.open(), clock), clock, passwords);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#metadata.close();
  }

  /** Those of a process; several on the same database are as many processes. */
  logins(settings: Partial<AccountSettings> = { users: { enabled: true } }): Logins {
    const { passwords, clock } = this;
    const parts = { metadata: this.#metadata, passwords, clock, log: this.#log };
    return new Logins(accountVerifiers({ users: { enabled: false }, oidc: [], ...settings }, parts), clock);
  }

  async addUser(name: string, password: string, groups: readonly string[] = []): Promise<void> {
    if (!(await this.users.add(name, await hashOf(password), groups))) throw new Error(`${name} is there already`);
  }
}

/** Logs in as a client does, with an `Authorization` header for each request. */
export class Logins {
  readonly accounts: AccountVerifier;
  readonly authentication: Authentication;

  constructor(accounts: AccountVerifier, clock: StillClock) {
    this.accounts = accounts;
    this.authentication = new Authentication({
      verifiers: [accounts],
      policy: new Policy(),
      tokensDecide: false,
      clock,
    });
  }

  async outcomeOf(name: string, password: string, address: string | undefined = ADDRESS): Promise<Outcome> {
    return await this.authentication.authenticate(basicHeader(name, password), address);
  }

  /** Undefined when the credentials are not good; rejects when the client is told something else. */
  async login(name: string, password: string, address?: string): Promise<Identity | undefined> {
    const known = await this.outcomeOf(name, password, address);
    if (known.kind === "session") return known.proof.principal;
    if (known.refusal) throw known.refusal;
    return undefined;
  }

  /** The same, if it is known at once. */
  cached(name: string, password: string): Identity | undefined {
    const known = this.authentication.authenticate(basicHeader(name, password), ADDRESS);
    return !(known instanceof Promise) && known.kind === "session" ? known.proof.principal : undefined;
  }

  /** Whether a token that was issued to a principal is still good. */
  async isCurrent(principal: Identity): Promise<boolean> {
    return (await this.accounts.basisOf(principal)?.isAt(principal.generation)) ?? false;
  }
}

/** How an attempt to log in ends: with a user's name, with "nobody", or with the refusal's code. */
export async function outcome(attempt: Promise<Identity | undefined>): Promise<string> {
  try {
    return (await attempt)?.name ?? "nobody";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
