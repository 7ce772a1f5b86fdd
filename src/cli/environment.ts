/** The variables that the program was started with. */

/**
 * `given`, and what the start script found in `STOWAGE_DROPPED_VARIABLES`, one `NAME=value` a line: variables that its shell
 * dropped because of the dashes in their names.
 */
export function environmentOf(
  given: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  const { STOWAGE_DROPPED_VARIABLES: lines = "", ...environment } = given;
  const dropped = lines.split("\n").flatMap((line): [string, string][] => {
    const equals = line.indexOf("=");
    return equals > 0 ? [[line.slice(0, equals), line.slice(equals + 1)]] : [];
  });
  return { ...environment, ...Object.fromEntries(dropped) };
}
