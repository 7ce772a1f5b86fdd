/** A request that was not authorized. */
import type { Action } from "../../auth/identity.ts";
import type { Rejected } from "../../auth/authentication.ts";
import { RefusedWithHeaders } from "../http/error-reply.ts";

/** What a principal tried and may not. */
export interface RefusedPermission {
  readonly action: Action | "list";
  /** Absent for lists of repositories, and for what concerns the whole registry. */
  readonly repository?: string;
  /** What decided. */
  readonly rule?: string;
}

/** The client that was refused, for the log and the audit. */
export interface RefusedClient {
  /** Whom the credentials belong to, or the name that was tried. Undefined when there is none. */
  readonly user?: string | undefined;
  /** Rejected credentials. */
  readonly rejected?: Rejected | undefined;
  /** A permission that is missing. */
  readonly denied?: RefusedPermission | undefined;
}

export class AccessRefusal extends RefusedWithHeaders {
  readonly client: RefusedClient;

  constructor(cause: unknown, headers: Readonly<Record<string, string>>, client: RefusedClient) {
    super(cause, headers);
    this.client = client;
  }
}
