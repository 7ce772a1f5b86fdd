/** Regular expressions as Go has them (RE2): matched in a time that is linear in the text, whatever the pattern. */

/** Whether a text holds a match, anywhere. */
export type Matcher = (text: string) => boolean;

/** The pattern is none; the message says why, in the words that Go has for it. */
export class PatternError extends Error {
  override readonly name = "PatternError";
}

/** Throws `PatternError`. The engine is loaded with the first call: few registries need it. */
export async function compilePattern(pattern: string): Promise<Matcher> {
  const { RE2JS, RE2JSException } = await import("re2js");
  try {
    const compiled = RE2JS.compile(pattern);
    return (text) => compiled.test(text);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw new PatternError(error.message.replace(/^error parsing regexp: /, ""), { cause: error });
  }
}
