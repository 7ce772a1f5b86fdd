/** A response that is served again. */
import type { Revision, RevisionScope } from "../registry/namespace.ts";
import type { Representation } from "./http/representation.ts";
import type { Reply } from "./http/reply.ts";
import type { ParsedRequest } from "./parsed-request.ts";

/**
 * A representation with what its address says and its full reply. It is data: a function would hold on to the request that it
 * was made for.
 */
export interface CachedResponse {
  readonly parsed: ParsedRequest;
  readonly representation: Representation;
  /** For a request without conditions and ranges, with all headers that do not depend on the request. */
  readonly full: Reply;
  /** The revision that it rests on. */
  readonly madeFrom: ScopeRevision;
}

/** A revision of a scope; a scope that is undefined never changes. */
export interface ScopeRevision {
  readonly scope: RevisionScope | undefined;
  readonly revision: Revision | undefined;
}
