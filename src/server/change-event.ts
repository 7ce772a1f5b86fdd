/** The change event (audit and listeners of the library). */
import type { RepositoryName } from "../oci/repository-name.ts";

/** Something that a client changed, after it was made durable. */
export interface ChangeEvent {
  readonly id: string;
  readonly time: Date;
  /** What was done: `push` brings content, `mount` shows a blob of another repository, `sign` adds a signature. */
  readonly action: "push" | "mount" | "delete" | "sign";
  readonly object: "blob" | "manifest" | "tag";
  readonly repository: RepositoryName;
  /** Absent when a tag was deleted. */
  readonly digest?: string;
  /** The tags that were pushed with a manifest, or the one that was deleted. */
  readonly tags?: readonly string[];
  /** Who did it: `alice`, `robot:ci`, `job:…` or `anonymous`. */
  readonly who: string;
  /** The client's address; undefined on a Unix socket. */
  readonly address: string | undefined;
  readonly userAgent: string | undefined;
  /** What allowed it. */
  readonly rule: string;
}

/** Called for each change, in order. What it throws is logged. */
export type ChangeListener = (event: ChangeEvent) => void;
