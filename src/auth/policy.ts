/** Who may do what with which repositories, and by which rule. */
import { glob } from "../lib/glob.ts";
import type { Glob } from "../lib/glob.ts";
import { globSeek, seekAny } from "../lib/glob-seek.ts";
import type { Seek } from "../lib/glob-seek.ts";
import { LruCache, textBytes } from "../lib/lru.ts";
import { NAME_CHARACTERS } from "../oci/repository-name.ts";
import type { Action, Grant, Principal } from "./identity.ts";

/** One entry of the settings' `policies`: a rule only allows, and what none allows is not. */
export interface Rule {
  /**
   * `alice` (or `user:alice`), `group:dev`; `anonymous`: clients without credentials;
   * `authenticated`: clients that logged in; `everyone`: both.
   */
  readonly who: readonly string[];
  /** Patterns such as `team/app`, `team/*` and `team/**`. */
  readonly repositories: readonly string[];
  /** `admin` is all of them. */
  readonly actions: readonly Action[];
}

export interface Decision {
  readonly allowed: boolean;
  /** What decided, in words that complete "allowed by" and "refused by". */
  readonly by: string;
}

/** Whose members may do everything, whatever the rules say. */
export const ADMINISTRATORS = "admin";

/** Which repositories may be listed. */
export interface ListFilter {
  allows(repository: string): boolean;
  /** Where from `text` on allowed repositories can stand (`Seek`). */
  seek: Seek;
}

interface CompiledRule {
  /** As `appliesTo` looks them up. */
  readonly principals: ReadonlySet<string>;
  readonly repositories: readonly Glob[];
  /** Where repositories can stand that they match. */
  readonly seek: Seek;
  readonly actions: ReadonlySet<Action>;
  /** Whether it allows everything in all repositories. */
  readonly isForAdministrators: boolean;
  /** What it decides when it applies. */
  readonly decision: Decision;
}

/** Bytes of the cache of compiled patterns. */
const MAX_GLOB_BYTES = 2 * 1024 ** 2;

/** What a pattern that is ready needs for each of its characters, and beside them. */
const [GLOB_BYTES_EACH, GLOB_BYTES] = [12, 400];

export class Policy {
  /** Undefined when not set: then every user may do everything, as in distribution. */
  #rules: readonly CompiledRule[] | undefined;
  #generation = 0;
  /** The patterns of bounds, which come with principals. */
  readonly #globs = new LruCache<string, Glob>(MAX_GLOB_BYTES);

  constructor(rules?: readonly Rule[]) {
    this.#rules = rules?.map(compiled);
  }

  /** Decides by other rules from now on, also for sessions that are there already. */
  replaceRules(rules: readonly Rule[] | undefined): void {
    this.#rules = rules?.map(compiled);
    this.#generation++;
  }

  /** Another number when the rules are others: decisions of the rules before are not valid then. */
  get generation(): number {
    return this.#generation;
  }

  /** Whether a rule applies to anonymous clients. */
  get knowsAnonymous(): boolean {
    return this.#rules?.some((rule) => appliesTo(rule, undefined)) ?? false;
  }

  allows(principal: Principal, action: Action, repository: string): boolean {
    return this.decide(principal, action, repository).allowed;
  }

  /** Whether there may be a repository that this principal may pull. */
  allowsSomePull(principal: Principal): boolean {
    if (principal?.bound && !principal.bound.some(({ actions }) => includes(actions, "pull"))) return false;
    if (isSettled(principal)) return true;
    if (!this.#rules) return principal !== undefined;
    return this.#rules.some((rule) => appliesTo(rule, principal) && hasAction(rule, "pull"));
  }

  /** Whether this principal may do everything, in all repositories. */
  isAdministrator(principal: Principal): boolean {
    if (principal?.bound) return principal.bound.some(({ repositories, actions }) => isForAll([repositories], actions));
    if (isSettled(principal)) return true;
    if (!this.#rules) return principal !== undefined;
    return this.#rules.some((rule) => rule.isForAdministrators && appliesTo(rule, principal));
  }

  /** The repositories that this principal may pull; undefined for all. */
  listFilter(principal: Principal): ListFilter | undefined {
    const seek = this.#seekFor(principal);
    return seek && { allows: (repository) => this.allows(principal, "pull", repository), seek };
  }

  /** It may find more than is allowed, never less. */
  #seekFor(principal: Principal): Seek | undefined {
    const patterns = principal?.bound?.filter(({ actions }) => includes(actions, "pull"));
    if (patterns) return seekOf(patterns.map(({ repositories }) => repositories));
    if (isSettled(principal)) return undefined;
    if (!this.#rules) return principal ? undefined : seekAny([]);
    const rules = this.#rules.filter((rule) => appliesTo(rule, principal) && hasAction(rule, "pull"));
    return seekAny(rules.map(({ seek }) => seek));
  }

  decide(principal: Principal, action: Action, repository: string): Decision {
    if (principal?.bound && !this.#isWithin(principal.bound, action, repository)) {
      return { allowed: false, by: `the grants of ${nameOf(principal)}, which do not include it` };
    }
    if (principal?.bound && principal.kind !== "user") {
      return { allowed: true, by: `the grants of ${nameOf(principal)}` };
    }
    if (isSettled(principal)) return BY_GROUP;
    if (!this.#rules) return principal ? BY_LOGIN : NEEDS_LOGIN;
    const rule = this.#rules.find(
      (each) =>
        appliesTo(each, principal) &&
        hasAction(each, action) &&
        each.repositories.some((matches) => matches(repository)),
    );
    return rule?.decision ?? BY_NO_RULE;
  }

  #isWithin(bound: readonly Grant[], action: Action, repository: string): boolean {
    return bound.some(({ repositories, actions }) => includes(actions, action) && this.#glob(repositories)(repository));
  }

  #glob(pattern: string): Glob {
    let found = this.#globs.get(pattern);
    if (!found) {
      found = glob(pattern);
      this.#globs.set(pattern, found, GLOB_BYTES + GLOB_BYTES_EACH * pattern.length + textBytes(pattern));
    }
    return found;
  }
}

function compiled(rule: Rule, index: number): CompiledRule {
  return {
    principals: new Set(rule.who.map(qualified)),
    repositories: rule.repositories.map(glob),
    seek: seekOf(rule.repositories),
    actions: new Set(rule.actions),
    isForAdministrators: isForAll(rule.repositories, rule.actions),
    decision: { allowed: true, by: `policies.${index} (${wordsOf(rule)})` },
  };
}

function seekOf(patterns: readonly string[]): Seek {
  return seekAny(patterns.map((pattern) => globSeek(pattern, NAME_CHARACTERS)));
}

const BY_GROUP: Decision = { allowed: true, by: `membership in the group ${ADMINISTRATORS}` };

const BY_LOGIN: Decision = { allowed: true, by: "no policies are set: every user may do everything" };

const NEEDS_LOGIN: Decision = {
  allowed: false,
  by: "no policies are set: login is required",
};

const BY_NO_RULE: Decision = { allowed: false, by: "policies: no rule allows it" };

/** Names in a rule that mean more than one. */
const COLLECTIVES: ReadonlySet<string> = new Set(["anonymous", "authenticated", "everyone"]);

function qualified(name: string): string {
  return name.includes(":") || COLLECTIVES.has(name) ? name : `user:${name}`;
}

function wordsOf({ who, actions, repositories }: Rule): string {
  return `${who.join(", ")}: ${actions.join(", ")} on ${repositories.join(", ")}`;
}

/** As rules, the log and `explain` name a principal: `alice`, `robot:ci`, `anonymous`. */
export function nameOf(principal: Principal): string {
  if (!principal) return "anonymous";
  return principal.kind === "user" ? principal.name : `${principal.kind}:${principal.name}`;
}

/** Whether rules do not matter: a machine has its own grants, and administrators have all. */
function isSettled(principal: Principal): boolean {
  if (principal === undefined) return false;
  return (principal.kind !== "user" && principal.bound !== undefined) || principal.groups.includes(ADMINISTRATORS);
}

function appliesTo({ principals }: CompiledRule, principal: Principal): boolean {
  if (principals.has("everyone") || principals.has(principal ? "authenticated" : "anonymous")) return true;
  return (
    principal !== undefined &&
    (principals.has(`${principal.kind}:${principal.name}`) ||
      principal.groups.some((group) => principals.has(`group:${group}`)))
  );
}

function hasAction({ actions }: CompiledRule, action: Action): boolean {
  return actions.has(action) || actions.has("admin");
}

function isForAll(repositories: readonly string[], actions: readonly Action[]): boolean {
  return repositories.includes("**") && actions.includes("admin");
}

function includes(actions: readonly Action[], action: Action): boolean {
  return actions.includes(action) || actions.includes("admin");
}
