/** An authenticator under test, on a database in memory, with a clock that stands still until it is moved. */
import { pino } from "pino";
import { MemoryEngine } from "../../metadata/memory/memory-engine.ts";
import { SqlMetadataStore } from "../../metadata/sql-metadata-store.ts";
import type { Logger } from "../../observe/logger.ts";
import { createAuthenticator } from "../authenticators.ts";
import type { AuthenticatorSettings, RememberingAuthenticator } from "../authenticators.ts";
import type { Identity } from "../identity.ts";
import { Robots } from "../robots.ts";
import { Users } from "../users.ts";
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
  readonly passwords = new CountingPasswords();
  readonly users: Users;
  readonly robots: Robots;
  readonly lines: readonly Readonly<Record<string, unknown>>[];
  readonly #metadata: SqlMetadataStore;
  readonly #log: Logger;

  private constructor(metadata: SqlMetadataStore, clock: StillClock) {
    this.clock = clock;
    this.#metadata = metadata;
    this.users = new Users(metadata);
    this.robots = new Robots(metadata, clock);
    const { log, lines } = readableLog();
    this.#log = log;
    this.lines = lines;
  }

  static async open(clock: StillClock = new StillClock()): Promise<AuthSubject> {
    return new AuthSubject(new SqlMetadataStore(await MemoryEngine.open(), clock), clock);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#metadata.close();
  }

  /** One on the same database; several are as many processes. */
  authenticator(settings: Partial<AuthenticatorSettings> = { users: { enabled: true } }): RememberingAuthenticator {
    const { passwords, clock } = this;
    const parts = { metadata: this.#metadata, passwords, clock, log: this.#log };
    return createAuthenticator({ users: { enabled: false }, oidc: [], ...settings }, parts);
  }

  async addUser(name: string, password: string, groups: readonly string[] = []): Promise<void> {
    if (!(await this.users.add(name, await hashOf(password), groups))) throw new Error(`${name} is there already`);
  }
}

/** How an attempt to log in ends: with whom, with nobody, or with the refusal's code. */
export async function outcome(attempt: Promise<Identity | undefined>): Promise<string> {
  try {
    return (await attempt)?.name ?? "nobody";
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}
