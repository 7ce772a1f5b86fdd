/** Accounts of a program that embeds the registry and has its own users. */
import type { Authenticator, Identity } from "./identity.ts";
import { rejection } from "./verifier.ts";
import type { AccountVerifier, BasicCredentials, Basis, Credentials, Verdict } from "./verifier.ts";

export class EmbeddedAccounts implements AccountVerifier {
  readonly #authenticator: Authenticator;

  constructor(authenticator: Authenticator) {
    this.#authenticator = authenticator;
  }

  takes({ kind }: Credentials): boolean {
    return kind === "basic";
  }

  async verify({ name, password }: BasicCredentials, address: string | undefined): Promise<Verdict> {
    const principal = await this.#authenticator.authenticate(name, password, address);
    if (!principal) return rejection("wrong password");
    const { generation } = principal;
    return { kind: "proof", principal, expiresAt: Infinity, basis: this.basisOf(principal), generation };
  }

  basisOf({ kind, name }: Identity): Basis {
    return { isAt: (generation) => this.#authenticator.isCurrent({ kind, name, generation }) };
  }
}
