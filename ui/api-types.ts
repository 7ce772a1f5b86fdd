/** What the API answers, as its schemas have it (`src/server/api`). */

export interface Repository {
  readonly name: string;
  readonly tags: number;
  readonly bytes: number;
  readonly createdAt: string;
  readonly pushedAt: string | null;
}

export interface RepositoryPage {
  readonly items: readonly Repository[];
  readonly next: string | null;
}

export interface RepositoryDetails extends Repository {
  readonly manifests: number;
  readonly blobs: number;
  readonly uploads: number;
  readonly permissions: readonly string[];
}

export interface Tag {
  readonly name: string;
  readonly digest: string;
  readonly artifactType: string | null;
  readonly kind: "image" | "index" | "artifact";
  readonly platforms: readonly string[];
  /** Null when it is not known. */
  readonly bytes: number | null;
  readonly pushedAt: string;
  readonly aliases: readonly string[];
  readonly aliasCount: number;
  readonly referrerTypes: readonly string[];
  readonly isSigned: boolean;
}

export interface TagPage {
  readonly items: readonly Tag[];
  readonly next: string | null;
  /** On all pages. */
  readonly total: number;
}

export interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
  readonly artifactType: string | null;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface IndexEntry extends Descriptor {
  readonly platform: string | null;
  readonly isHere: boolean;
  readonly bytes: number | null;
}

export interface ManifestDetails {
  readonly digest: string;
  readonly mediaType: string;
  readonly artifactType: string | null;
  readonly kind: "image" | "index" | "artifact";
  readonly bytes: number | null;
  readonly subject: string | null;
  readonly pushedAt: string;
  readonly tags: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly layers: readonly Descriptor[];
  readonly images: readonly IndexEntry[];
}

export interface ImageConfig {
  readonly created?: string;
  readonly user?: string;
  readonly workingDir?: string;
  readonly entrypoint?: readonly string[];
  readonly cmd?: readonly string[];
  readonly env?: readonly string[];
  readonly exposedPorts?: readonly string[];
  readonly volumes?: readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
}

export interface ImageLine {
  readonly command: string | null;
  readonly comment: string | null;
  readonly layer: (Descriptor & { readonly manifests: number | null }) | null;
}

export interface ImageDetails {
  readonly config: ImageConfig | null;
  readonly lines: readonly ImageLine[];
}

export interface Referrer extends Descriptor {
  readonly referrers: readonly Referrer[];
}

export interface Referrers {
  readonly referrers: readonly Referrer[];
  readonly isComplete: boolean;
}

export interface TagPeriod {
  readonly digest: string;
  readonly since: string;
  /** Null while the tag still points there. */
  readonly until: string | null;
  readonly canRestore: boolean;
  readonly restorableUntil: string | null;
}

export interface TagHistory {
  readonly items: readonly TagPeriod[];
}

export interface TagTarget {
  readonly name: string;
  readonly digest: string;
}

export interface Deletion {
  readonly tags: readonly TagTarget[];
  readonly manifests: readonly string[];
  readonly stays: readonly {
    readonly what: string;
    readonly why: "absent" | "moved" | "immutable" | "tagged" | "needed";
  }[];
  readonly referrers: readonly string[];
  readonly freedBytes: number;
  readonly keptBytes: number;
  readonly freedAt: string | null;
  readonly undo: { readonly isPossible: boolean; readonly until: string | null };
  readonly isComplete: boolean;
  readonly more: boolean;
}

export interface Session {
  readonly name: string;
  readonly kind: string;
  readonly mayLogIn: boolean;
  readonly registry: { readonly readOnly: boolean; readonly deleteEnabled: boolean };
}
