/** Which database a store belongs to. */

/** What a store outside of the data folder knows of its database. */
export interface StoreIdentity {
  /** What the store is, and the setting that says where it is, for messages. */
  readonly place: string;
  readonly setting: string;
  /** The id in the store; undefined when it has none. */
  read(): Promise<string | undefined>;
  write(id: string): Promise<void>;
  /** Whether the store has any blob. */
  hasBlobs(): Promise<boolean>;
}
