/** A port beside the storage: small files below a folder, or objects below a prefix, as another program has written them. */

export interface TreeEntry {
  readonly name: string;
  readonly isFolder: boolean;
}

export interface TreeFileStat {
  /** Bytes. */
  readonly size: number;
  /** Modification time in milliseconds since 1970. */
  readonly mtimeMs: number;
}

export interface TreeListedFile extends TreeFileStat {
  readonly path: string;
}

export interface TreeFile {
  readonly bytes: Uint8Array;
  /** Modification time in milliseconds since 1970; undefined where reading does not tell it, and `stat` does. */
  readonly mtimeMs?: number | undefined;
}

/** What lies below one folder, by paths with `/` that begin in it. Paths are made by `distribution-tree.ts` alone. */
export interface TreeFiles {
  /** What holds the files, for messages. */
  readonly place: string;
  /** Returns what lies directly in a folder, unordered; nothing when there is no such folder. */
  list(folder: string): Promise<readonly TreeEntry[]>;
  /** Lists every file below a folder; absent where that costs more than listing folders and asking for what is needed. */
  listAll?(folder: string): AsyncIterable<TreeListedFile>;
  /** Returns whether any file lies below a folder. */
  holdsFile(folder: string): Promise<boolean>;
  /** Returns undefined when there is no such file. */
  stat(path: string): Promise<TreeFileStat | undefined>;
  /** Returns a file whole; undefined when there is no such file, "too large" when it has more than `maxBytes`. */
  read(path: string, maxBytes: number): Promise<TreeFile | "too large" | undefined>;
  /** Returns whether an error of these methods, or of the store that has the same files, is about one file, which stays unreadable. */
  isUnreadable(error: unknown): boolean;
}

/** As `TreeFiles`, of a folder that may be written to. */
export interface WritableTreeFiles extends TreeFiles {
  /** Writes a small file whole or not at all, with the folders above it, unless it has this content. Returns whether it wrote. */
  write(path: string, content: Uint8Array): Promise<boolean>;
  /** Gives a blob of the store a second path, by a hard link or a copy, unless a file of this size is there. Returns whether it did. */
  link(key: string, path: string, size: number): Promise<boolean>;
  /** Removes a file or a folder with all that is in it; one that is not there is no error. */
  remove(path: string): Promise<void>;
}
