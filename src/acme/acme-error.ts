/** What goes wrong between us and the server of an authority. */

/** The message says why there is no certificate. */
export class AcmeError extends Error {
  override readonly name = "AcmeError";
  /** Whether the server decided that, or could not be asked at all. */
  readonly kind: "refused" | "unreachable";

  constructor(kind: AcmeError["kind"], message: string, options?: ErrorOptions) {
    super(message.replaceAll(/\p{Cc}+/gu, " "), options); // one line, whatever the server said
    this.kind = kind;
  }
}

/** How a server says what is wrong (RFC 7807). */
export interface Problem {
  readonly type?: string;
  readonly detail?: string;
  readonly subproblems?: readonly Problem[];
}

/** In words for a person. */
export function problemText({ type, detail, subproblems = [] }: Problem): string {
  const said = detail ?? type?.replace("urn:ietf:params:acme:error:", "") ?? "without a reason";
  return [said, ...subproblems.map(problemText)].join("; ");
}
