/**
 * The bytes of a request end early because their sender went away. The reader of the socket throws it; what stores the bytes
 * tells by it a broken source, whose first bytes are good, from storage that fails.
 */
export class BrokenBodyError extends Error {
  override readonly name = "BrokenBodyError";
}
