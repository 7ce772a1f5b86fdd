/** What every handler of a request is given. */
import type { Namespace } from "../registry/namespace.ts";
import type { RequestBody } from "./body.ts";

/** What an operator decides about the wire. */
export interface ServerOptions {
  /** Whether blobs, manifests and tags may be deleted by clients. */
  readonly deleteEnabled: boolean;
  /** Whether signatures that are kept beside manifests are shown, and taken. */
  readonly signaturesEnabled: boolean;
  /** Whether telling a client of a manifest may renew a promise, and so is no mere reading. */
  readonly renewsManifests: boolean;
  /** The program's version, for people. */
  readonly version: string;
}

export interface Context {
  readonly namespace: Namespace;
  readonly options: ServerOptions;
  readonly request: Request;
  readonly body: RequestBody;
  readonly parameters: URLSearchParams;
}
