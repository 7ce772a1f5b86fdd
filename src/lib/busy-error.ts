/** Something that others use stayed busy for longer than one waits for it: the same may succeed in a moment. */
export class BusyError extends Error {
  override readonly name = "BusyError";
}
