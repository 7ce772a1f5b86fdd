/** Changes that clients and operators make: each is recorded in the transaction that makes it, for the outbox and the audit. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Tag } from "../oci/tag.ts";
import type { Statement, Transaction } from "./sql.ts";

/** One change. */
export interface Change {
  /** `push` brings content, `mount` shows a blob of another repository, `sign` adds a signature. */
  readonly action: "push" | "mount" | "delete" | "sign";
  readonly object: "blob" | "manifest" | "tag" | "repository";
  readonly repository: RepositoryName;
  /** Absent when a tag or a repository was deleted. */
  readonly digest?: Digest | undefined;
  /** Of a manifest. */
  readonly mediaType?: string | undefined;
  /** Bytes; of what was pushed or mounted. */
  readonly size?: number | undefined;
  /** The tags that a push points at the manifest; those that went. */
  readonly tags?: readonly Tag[] | undefined;
  /** Where a blob was mounted from. */
  readonly from?: RepositoryName | undefined;
  /** The bytes of a manifest that was pushed. */
  readonly payload?: Uint8Array | undefined;
}

/** Who makes changes, and how. */
export interface Cause {
  /** `alice`, `robot:ci`, `job:…`, `anonymous`, or `system:root` for an operator. */
  readonly who: string;
  /** What allows it. */
  readonly rule: string;
  /** Absent for commands, and for a program that embeds the registry. */
  readonly request?: RequestCause | undefined;
}

/** The request that makes a change. */
export interface RequestCause {
  readonly id: string;
  /** The client's address; undefined on a Unix socket. */
  readonly address: string | undefined;
  /** As the client calls the registry; empty when it does not say. */
  readonly host: string;
  /** The address of the registry with its prefix, as the client knows it, such as `https://registry.example.com`. */
  readonly base: string;
  readonly method: string;
  readonly userAgent: string;
  /** The principal's name; undefined for anonymous clients. */
  readonly user: string | undefined;
}

/** Records changes: the statements for them run in the transactions that make the changes. */
export interface ChangeRecorder {
  /** Returns statements that insert what is recorded of changes; none where nothing is. */
  statements(changes: readonly Change[], cause: Cause | undefined, now: number): readonly Statement[];
}

/** Records changes in the running transaction; costs nothing without a recorder. */
export function* record(
  recorder: ChangeRecorder | undefined,
  cause: Cause | undefined,
  now: number,
  ...changes: readonly Change[]
): Transaction<void> {
  const statements = recorder?.statements(changes, cause, now) ?? [];
  if (statements.length > 0) yield statements;
}
