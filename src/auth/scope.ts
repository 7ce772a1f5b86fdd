/** The scopes that clients ask a token for: `repository:team/app:pull,push registry:catalog:*`. */

/** Actions on one resource, as a token's `access` claim and a `scope` name them. */
export interface ResourceActions {
  /** `repository` or `registry`. */
  readonly type: string;
  readonly name: string;
  /** Such as `pull`; `*` for all. */
  readonly actions: readonly string[];
}

/** More than any client requests. */
const MAX_SCOPES = 100;

/**
 * Everything that is asked for: a parameter may come several times, and hold several scopes. What does not look like one is
 * left out, for a request with an odd scope gets a token all the same, one that allows less.
 */
export function parseScopes(parameters: readonly string[]): readonly ResourceActions[] {
  return parameters
    .flatMap((text) => text.split(" "))
    .filter((text) => text !== "")
    .slice(0, MAX_SCOPES)
    .flatMap((text) => parseScope(text) ?? []);
}

/** Undefined when it is none. A name may hold colons: `host:5000/app`. */
export function parseScope(text: string): ResourceActions | undefined {
  const first = text.indexOf(":");
  const last = text.lastIndexOf(":");
  if (first <= 0 || last <= first + 1) return undefined;
  const [type = ""] = text.slice(0, first).split("(", 1); // a class may follow in parentheses, which means nothing here
  if (type === "") return undefined;
  const actions = text
    .slice(last + 1)
    .split(",")
    .filter((action) => action !== "");
  return actions.length === 0 ? undefined : { type, name: text.slice(first + 1, last), actions: [...new Set(actions)] };
}

export function formatScope({ type, name, actions }: ResourceActions): string {
  return `${type}:${name}:${actions.join(",")}`;
}
