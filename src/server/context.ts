/** What every handler of a request is given. */
import type { Namespace } from "../registry/namespace.ts";
import type { RequestBody } from "./body.ts";
import type { Caller, Origins } from "./origin.ts";

/** What an operator decides about the wire. */
export interface ServerOptions {
  /** Whether blobs, manifests and tags may be deleted by clients. */
  readonly deleteEnabled: boolean;
  /** Whether signatures that are kept beside manifests are shown, and taken. */
  readonly signaturesEnabled: boolean;
  /** Which proxies are trusted, and what clients call this registry. */
  readonly origins: Origins;
  /** The program's version, for people. */
  readonly version: string;
}

export interface Context {
  readonly namespace: Namespace;
  readonly options: ServerOptions;
  readonly request: Request;
  /** Whoever sent the request, as far as connection and trusted proxies tell. */
  readonly caller: Caller;
  readonly body: RequestBody;
  readonly parameters: URLSearchParams;
}
