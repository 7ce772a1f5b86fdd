/** What a principal may do. */
import { textBytes } from "../lib/lru.ts";
import type { ResourceActions } from "./scope.ts";
import type { Action, Principal } from "./identity.ts";
import type { Decision, ListFilter, Policy } from "./policy.ts";

export interface Authorization {
  readonly principal: Principal;
  may(action: Action, repository: string): boolean;
  /** As `may`, with the reason, for the audit. */
  decide(action: Action, repository: string): Decision;
  /** Which repositories belong into a list of those that are here; undefined for all. */
  readonly listFilter: ListFilter | undefined;
  /** Whether there may be any that do. */
  readonly mayListSome: boolean;
  /** Whether everything is allowed, in all repositories. */
  readonly isAdministrator: boolean;
}

/** Of a registry without authentication. */
export const OPEN_DECISION: Decision = {
  allowed: true,
  by: "no authentication is configured: everyone may do everything",
};

/** Of every client of a registry without authentication. */
export const UNRESTRICTED: Authorization = {
  principal: undefined,
  may: () => true,
  decide: () => OPEN_DECISION,
  listFilter: undefined,
  mayListSome: true,
  isAdministrator: true,
};

/** Bytes of a decision beside the name of its repository and its reason. */
const DECISION_BYTES = 200;

/** What bounds an authorization. */
export type AuthorizationBounds =
  /** A policy, and the scope of a token, if it is one. */
  | { readonly policy: Policy; readonly access?: readonly ResourceActions[] | undefined }
  /** The scope of a token alone, whose server decides what it may be. */
  | { readonly policy?: undefined; readonly access: readonly ResourceActions[] };

/** As far as its bounds reach. */
export class BoundedAuthorization implements Authorization {
  readonly principal: Principal;
  readonly #access: readonly ResourceActions[] | undefined;
  readonly #policy: Policy | undefined;
  readonly #maxDecisionBytes: number;
  /** Valid as long as the policy has the same rules: the principal of a session never changes. */
  readonly #decisions = new Map<string, Partial<Record<Action, Decision>>>();
  #decisionBytes = 0;
  #generation: number | undefined;

  /** Caches decisions, bounded by bytes, because clients repeat the same requests. */
  constructor(principal: Principal, { access, policy }: AuthorizationBounds, maxDecisionBytes: number) {
    this.principal = principal;
    this.#access = access;
    this.#policy = policy;
    this.#maxDecisionBytes = maxDecisionBytes;
    this.#generation = policy?.generation;
  }

  get mayListSome(): boolean {
    return this.#access
      ? this.#access.some(
          ({ type, name, actions }) => type === "registry" && name === "catalog" && actions.includes("*"),
        )
      : (this.#policy?.allowsSomePull(this.principal) ?? false);
  }

  /** Cached decisions: at most `maxDecisionBytes`. */
  get decisionBytes(): number {
    return this.#decisionBytes;
  }

  may(action: Action, repository: string): boolean {
    return this.decide(action, repository).allowed;
  }

  decide(action: Action, repository: string): Decision {
    if (this.#generation !== this.#policy?.generation) this.#forget();
    const known = this.#decisions.get(repository)?.[action];
    if (known) return known;
    const decision = this.#decide(action, repository);
    this.#keep(action, repository, decision);
    return decision;
  }

  /** False for tokens, which are for repositories, also those of an administrator. */
  get isAdministrator(): boolean {
    return this.#access === undefined && (this.#policy?.isAdministrator(this.principal) ?? false);
  }

  get listFilter(): ListFilter | undefined {
    return this.#policy?.listFilter(this.principal);
  }

  #decide(action: Action, repository: string): Decision {
    if (this.#access && !isInScope(this.#access, action, repository)) return OUT_OF_SCOPE;
    return this.#policy?.decide(this.principal, action, repository) ?? BY_TOKEN_SERVER;
  }

  #keep(action: Action, repository: string, decision: Decision): void {
    const bytes = DECISION_BYTES + textBytes(repository) + textBytes(decision.by);
    if (this.#decisionBytes + bytes > this.#maxDecisionBytes) this.#forget();
    if (bytes > this.#maxDecisionBytes) return;
    this.#decisionBytes += bytes;
    const decisions = this.#decisions.get(repository);
    if (decisions) decisions[action] = decision;
    // A substring would keep the whole string in memory.
    else this.#decisions.set(Buffer.from(repository).toString(), { [action]: decision });
  }

  #forget(): void {
    this.#decisions.clear();
    this.#decisionBytes = 0;
    this.#generation = this.#policy?.generation;
  }
}

const OUT_OF_SCOPE: Decision = { allowed: false, by: "the scope of the token" };

const BY_TOKEN_SERVER: Decision = { allowed: true, by: "the token server" };

function isInScope(access: readonly ResourceActions[], wanted: Action, repository: string): boolean {
  return access.some(
    ({ type, name, actions }) =>
      type === "repository" && name === repository && (actions.includes(wanted) || actions.includes("*")),
  );
}
