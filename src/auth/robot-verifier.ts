/** Verifies robot tokens, which robots send as password. They cannot be guessed, so attempts are not slowed down. */
import type { CachedGenerations } from "./cached-generations.ts";
import type { Identity } from "./identity.ts";
import { looksLikeRobotToken } from "./robots.ts";
import type { Robots } from "./robots.ts";
import { rejection } from "./verifier.ts";
import type { AccountVerifier, BasicCredentials, Basis, Credentials, Verdict } from "./verifier.ts";

export class RobotVerifier implements AccountVerifier {
  readonly #robots: Robots;
  readonly #generations: CachedGenerations;

  constructor(robots: Robots, generations: CachedGenerations) {
    this.#robots = robots;
    this.#generations = generations;
  }

  takes(credentials: Credentials): boolean {
    return credentials.kind === "basic" && looksLikeRobotToken(credentials.password);
  }

  async verify({ name, password }: BasicCredentials): Promise<Verdict> {
    const found = await this.#robots.identify(name, password);
    if (typeof found === "string") return rejection(found);
    const { identity, expiresAt = Infinity } = found;
    const { generation } = identity;
    return { kind: "proof", principal: identity, expiresAt, basis: this.#basisOf(identity), generation };
  }

  basisOf(principal: Identity): Basis | undefined {
    return principal.kind === "robot" ? this.#basisOf(principal) : undefined;
  }

  async find(kind: Identity["kind"], name: string): Promise<Identity | undefined> {
    return kind === "robot" ? await this.#robots.find(name) : undefined;
  }

  /** Its token, by whose id it is known. */
  #basisOf({ name, generation: id }: Identity): Basis {
    return this.#generations.of(`robot ${id} ${name}`, async () => {
      const token = await this.#robots.findLive(id);
      return token?.robot === name ? { generation: token.id, until: token.expiresAt } : { generation: undefined };
    });
  }
}
