/** Who was let in, and what else that one may do. */
import type { AccessToken } from "../auth/access-token.ts";
import type { Action } from "../auth/identity.ts";
import type { Decision, Policy, Who } from "../auth/policy.ts";
import type { RepositoryName } from "../oci/repository-name.ts";

export interface Admission {
  /** Undefined is anonymous. */
  readonly who: Who;
  may(action: Action, repository: RepositoryName): boolean;
  /** As `may`, with the reason, for the audit. */
  decide(action: Action, repository: RepositoryName): Decision;
  /** Whether the repository belongs into a list of those that are here. */
  mayList(repository: RepositoryName): boolean;
  /** Whether there may be any that do. */
  readonly mayListSome: boolean;
}

/** Of a registry where nobody has to prove anything. */
export const OPEN_DECISION: Decision = {
  allowed: true,
  by: "the absence of authentication: everybody may do everything",
};

export const EVERYTHING: Admission = {
  who: undefined,
  may: () => true,
  decide: () => OPEN_DECISION,
  mayList: () => true,
  mayListSome: true,
};

/** Of somebody who may do whatever the policy says. */
export function admissionByPolicy(policy: Policy, who: Who): Admission {
  const decide = remembering((action, repository) => policy.decide(who, action, repository));
  return {
    who,
    may: (action, repository) => decide(action, repository).allowed,
    decide,
    mayList: (repository) => policy.allows(who, "pull", repository),
    mayListSome: policy.allowsSomePull(who),
  };
}

/** Of whoever bears a token: as far as its scope reaches, and a policy too, where there is one beside it. */
export function admissionByToken({ identity: who, access }: AccessToken, policy: Policy | undefined): Admission {
  const isInScope = (wanted: string, repository: string): boolean =>
    access.some(
      ({ type, name, actions }) =>
        type === "repository" && name === repository && (actions.includes(wanted) || actions.includes("*")),
    );
  const decide = remembering((action, repository) => {
    if (!isInScope(action, repository)) return { allowed: false, by: "the scope of the token" };
    return policy?.decide(who, action, repository) ?? { allowed: true, by: "the token server" };
  });
  return {
    who,
    may: (action, repository) => decide(action, repository).allowed,
    decide,
    mayList: (repository) => policy?.allows(who, "pull", repository) ?? true,
    mayListSome: access.some(
      ({ type, name, actions }) => type === "registry" && name === "catalog" && actions.includes("*"),
    ),
  };
}

/** Decisions about each action that are remembered for one who asks. */
const MAX_DECISIONS = 100;

/** A client asks for the same again and again. */
function remembering(decide: Admission["decide"]): Admission["decide"] {
  const known = {
    pull: new Map<string, Decision>(),
    push: new Map<string, Decision>(),
    delete: new Map<string, Decision>(),
    admin: new Map<string, Decision>(),
  };
  return (action, repository) => {
    const decisions = known[action];
    let decision = decisions.get(repository);
    if (!decision) {
      decision = decide(action, repository);
      if (decisions.size >= MAX_DECISIONS) decisions.clear();
      decisions.set(repository, decision);
    }
    return decision;
  };
}
