/** YAML as plain data, or one line that says what is wrong with it. */
import { parseDocument } from "yaml";

export class YamlError extends Error {
  override readonly name = "YamlError";
}

/** Deeper than any settings go; aliases can make a document that contains itself. */
const MAX_DEPTH = 32;

/** Throws `YamlError` alone. */
export function parseYaml(text: string): unknown {
  const document = parseDocument(text, { prettyErrors: true, logLevel: "error" });
  const [error] = document.errors;
  if (error) throw new YamlError(error.message.split("\n")[0]);
  let value: unknown;
  try {
    value = document.toJS();
  } catch (cause) {
    throw new YamlError(cause instanceof Error ? cause.message : "it cannot be read", { cause });
  }
  if (!isShallow(value, MAX_DEPTH)) throw new YamlError("it is nested too deeply");
  return value;
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1));
}
