/** Who may do what with which repositories, and by which rule. */
import { glob } from "../lib/glob.ts";
import type { Glob } from "../lib/glob.ts";
import type { Action, Grant, Identity } from "./identity.ts";

/** One entry of the settings' `policies`: a rule only allows, and what none allows is not. */
export interface Rule {
  /**
   * `alice` (or `user:alice`), `group:dev`, `robot:ci`, `job:…`; `anonymous`: whoever shows no credentials;
   * `authenticated`: whoever shows good ones; `everyone`: both.
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

/** Undefined is anonymous. */
export type Who = Identity | undefined;

interface CompiledRule {
  readonly who: ReadonlySet<string>;
  readonly repositories: readonly Glob[];
  readonly actions: ReadonlySet<Action>;
  readonly name: string;
}

export class Policy {
  /** Undefined when there are none: then whoever logs in may do everything, as in distribution. */
  readonly #rules: readonly CompiledRule[] | undefined;
  /** The patterns of bounds, which come with identities. */
  readonly #globs = new Map<string, Glob>();

  constructor(rules?: readonly Rule[]) {
    this.#rules = rules?.map(({ who, repositories, actions }, index) => ({
      who: new Set(who.map((name) => (name.includes(":") || COLLECTIVES.has(name) ? name : `user:${name}`))),
      repositories: repositories.map(glob),
      actions: new Set(actions),
      name: `policies.${index} (${who.join(", ")}: ${actions.join(", ")} on ${repositories.join(", ")})`,
    }));
  }

  /** Whether some rule is for those who show no credentials. */
  get knowsAnonymous(): boolean {
    return this.#rules?.some((rule) => appliesTo(rule, undefined)) ?? false;
  }

  allows(who: Who, action: Action, repository: string): boolean {
    return this.decide(who, action, repository).allowed;
  }

  /** Whether there may be a repository that this one may pull. */
  allowsSomePull(who: Who): boolean {
    if (who?.bound && !who.bound.some(({ actions }) => includes(actions, "pull"))) return false;
    if (isSettled(who)) return true;
    if (!this.#rules) return who !== undefined;
    return this.#rules.some((rule) => appliesTo(rule, who) && hasAction(rule, "pull"));
  }

  decide(who: Who, action: Action, repository: string): Decision {
    if (who?.bound && !this.#isWithin(who.bound, action, repository)) {
      return { allowed: false, by: `the bound of ${nameOf(who)}, which does not reach so far` };
    }
    if (who?.bound && who.kind !== "user") return { allowed: true, by: `what ${nameOf(who)} was made for` };
    if (isSettled(who)) return { allowed: true, by: `the group ${ADMINISTRATORS}, which may do everything` };
    if (!this.#rules) {
      return who
        ? { allowed: true, by: "the absence of policies: whoever logs in may do everything" }
        : { allowed: false, by: "the absence of policies: only those who log in may do anything" };
    }
    const rule = this.#rules.find(
      (each) =>
        appliesTo(each, who) && hasAction(each, action) && each.repositories.some((matches) => matches(repository)),
    );
    return rule ? { allowed: true, by: rule.name } : { allowed: false, by: "the policies, none of which allows it" };
  }

  #isWithin(bound: readonly Grant[], action: Action, repository: string): boolean {
    return bound.some(({ repositories, actions }) => includes(actions, action) && this.#glob(repositories)(repository));
  }

  #glob(pattern: string): Glob {
    let found = this.#globs.get(pattern);
    if (!found) {
      if (this.#globs.size > MAX_GLOBS) this.#globs.clear();
      found = glob(pattern);
      this.#globs.set(pattern, found);
    }
    return found;
  }
}

const MAX_GLOBS = 10_000;

/** Names in a rule that mean more than one. */
const COLLECTIVES: ReadonlySet<string> = new Set(["anonymous", "authenticated", "everyone"]);

/** As rules, the log and `explain` name somebody: `alice`, `robot:ci`, `anonymous`. */
export function nameOf(who: Who): string {
  if (!who) return "anonymous";
  return who.kind === "user" ? who.name : `${who.kind}:${who.name}`;
}

/** Whether rules do not matter: a machine has its own grants, and administrators have all. */
function isSettled(who: Who): boolean {
  return who !== undefined && ((who.kind !== "user" && who.bound !== undefined) || who.groups.includes(ADMINISTRATORS));
}

function appliesTo({ who: names }: CompiledRule, who: Who): boolean {
  if (names.has("everyone") || names.has(who ? "authenticated" : "anonymous")) return true;
  return (
    who !== undefined &&
    (names.has(`${who.kind}:${who.name}`) || who.groups.some((group) => names.has(`group:${group}`)))
  );
}

function hasAction({ actions }: CompiledRule, action: Action): boolean {
  return actions.has(action) || actions.has("admin");
}

function includes(actions: readonly Action[], action: Action): boolean {
  return actions.includes(action) || actions.includes("admin");
}
