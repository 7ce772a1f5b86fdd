/** Users in the database. */
import { randomBytes } from "node:crypto";
import type { UserRecord } from "../metadata/accounts.ts";
import type { Metadata } from "../metadata/metadata.ts";

/** What may be shown of a user. */
export type User = Omit<UserRecord, "passwordHash" | "generation">;

/** Each change takes effect at once, in every process, and ends what was issued to the user before. */
export class Users {
  readonly #metadata: Metadata;

  constructor(metadata: Metadata) {
    this.#metadata = metadata;
  }

  find(name: string): Promise<UserRecord | undefined> {
    return this.#metadata.accounts.find(name);
  }

  /** All users, in order of their names. */
  async list(): Promise<readonly User[]> {
    const found: User[] = [];
    for (let after = ""; ;) {
      const page = await this.#metadata.accounts.list({ after, limit: 1000 });
      found.push(...page.map(({ name, groups, createdAt, changedAt }) => ({ name, groups, createdAt, changedAt })));
      const last = page.at(-1);
      if (!last) return found;
      after = last.name;
    }
  }

  /** False when there is a user of this name. */
  add(name: string, passwordHash: string, groups: readonly string[]): Promise<boolean> {
    return this.#metadata.accounts.add({ name, passwordHash, groups, generation: newGeneration() });
  }

  /** Returns false when there is no such user. Absent fields are unchanged. */
  change(
    name: string,
    change: { readonly passwordHash?: string; readonly groups?: readonly string[] },
  ): Promise<boolean> {
    return this.#metadata.accounts.change(name, { ...change, generation: newGeneration() });
  }

  /** False when there is no such user. */
  remove(name: string): Promise<boolean> {
    return this.#metadata.accounts.remove(name);
  }
}

function newGeneration(): string {
  return randomBytes(9).toString("base64url");
}
