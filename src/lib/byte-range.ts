/** A part of some bytes. */

/** Both ends are counted in. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}
