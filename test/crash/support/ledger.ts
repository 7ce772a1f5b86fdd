/** What one client of the crash test knows: what was acknowledged to it, and what the request in flight would change. */
import type { Content, TestManifest } from "./content.ts";

export interface OpenUpload {
  readonly content: Content;
  /** Bytes whose arrival was acknowledged. */
  readonly offset: number;
}

/** What a repository holds of one client; never changed, only replaced. */
export interface State {
  readonly blobs: ReadonlySet<string>;
  readonly manifests: ReadonlySet<string>;
  /** From tag to digest. */
  readonly tags: ReadonlyMap<string, string>;
  /** From the path of the upload. */
  readonly uploads: ReadonlyMap<string, OpenUpload>;
}

const EMPTY: State = { blobs: new Set(), manifests: new Set(), tags: new Map(), uploads: new Map() };

export class Ledger {
  readonly repository: string;
  /** The client; its tags begin with it, and no other client pushes the same content, but for what all share. */
  readonly owner: string;
  state: State = EMPTY;
  /** What `state` would be had the request in flight been carried out; undefined when none is in flight. */
  pending: State | undefined;
  /** Everything that was ever sent here, by digest. */
  readonly contents: Map<string, Content> = new Map();
  readonly manifests: Map<string, TestManifest> = new Map();
  /** Digests that other clients push to the repository too. */
  readonly shared: ReadonlySet<string>;

  constructor(repository: string, owner: string, shared: ReadonlySet<string>) {
    this.repository = repository;
    this.owner = owner;
    this.shared = shared;
  }

  /** Blobs that manifests of the client need. */
  needed(state: State = this.state): ReadonlySet<string> {
    return new Set([...state.manifests].flatMap((digest) => this.manifests.get(digest)?.blobs ?? []));
  }

  /** Manifests that an index of the client needs. */
  children(): ReadonlySet<string> {
    return new Set([...this.state.manifests].flatMap((digest) => this.manifests.get(digest)?.children ?? []));
  }
}

export function withBlob(state: State, digest: string): State {
  return { ...state, blobs: new Set([...state.blobs, digest]) };
}

export function withoutBlob(state: State, digest: string): State {
  return { ...state, blobs: new Set([...state.blobs].filter((each) => each !== digest)) };
}

export function withUpload(state: State, path: string, upload: OpenUpload): State {
  return { ...state, uploads: new Map([...state.uploads, [path, upload]]) };
}

export function withoutUpload(state: State, path: string): State {
  return { ...state, uploads: new Map([...state.uploads].filter(([each]) => each !== path)) };
}

export function withManifest(state: State, digest: string, tags: readonly string[]): State {
  return {
    ...state,
    manifests: new Set([...state.manifests, digest]),
    tags: new Map([...state.tags, ...tags.map((tag): [string, string] => [tag, digest])]),
  };
}

/** Deleting a manifest takes its tags along. */
export function withoutManifest(state: State, digest: string): State {
  return {
    ...state,
    manifests: new Set([...state.manifests].filter((each) => each !== digest)),
    tags: new Map([...state.tags].filter(([, target]) => target !== digest)),
  };
}

export function withoutTag(state: State, tag: string): State {
  return { ...state, tags: new Map([...state.tags].filter(([each]) => each !== tag)) };
}

/** A text that two states share when a client cannot tell them apart. What others push too does not count. */
export function fingerprint(state: State, shared: ReadonlySet<string>): string {
  const lines = [
    ...[...state.blobs].filter((digest) => !shared.has(digest)).map((digest) => `blob ${digest}`),
    ...[...state.manifests].map((digest) => `manifest ${digest}`),
    ...[...state.tags].map(([tag, digest]) => `tag ${tag} → ${digest}`),
    ...[...state.uploads].map(([path, { offset }]) => `upload ${path} at ${offset}`),
  ];
  return lines.toSorted().join("\n");
}
