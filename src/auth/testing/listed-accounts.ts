/** Accounts from a list in memory: an authenticator for tests, and the least that one is. */
import type { Authenticator, Identity } from "../identity.ts";

export interface ListedAccount {
  readonly password: string;
  readonly identity: Identity;
}

export class ListedAccounts implements Authenticator {
  readonly #accounts: Map<string, ListedAccount>;

  constructor(accounts: readonly ListedAccount[]) {
    this.#accounts = new Map(accounts.map((account) => [account.identity.name, account]));
  }

  async authenticate(name: string, password: string): Promise<Identity | undefined> {
    const account = this.#accounts.get(name);
    return account?.password === password ? account.identity : undefined;
  }

  isCurrent({ name, generation }: Pick<Identity, "kind" | "name" | "generation">): boolean {
    return this.#accounts.get(name)?.identity.generation === generation;
  }

  remove(name: string): void {
    this.#accounts.delete(name);
  }
}

/** An account of a user in these groups. */
export function user(name: string, password: string, groups: readonly string[] = []): ListedAccount {
  return { password, identity: { kind: "user", name, groups, generation: `${name} 1` } };
}
