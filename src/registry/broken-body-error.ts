/** The sender of bytes broke off: those before it are good, and nobody is there to be answered. */
export class BrokenBodyError extends Error {
  override readonly name = "BrokenBodyError";
}
