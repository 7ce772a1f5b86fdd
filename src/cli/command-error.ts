/** How a command ends that cannot do what it was asked. */

/** Ends the program with exit code 1; the message is one line that says why and what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}
