/** What a setting takes, in words for an operator. zod's own messages are for programmers. */
import type { z } from "zod";

const KINDS: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "a section with settings",
  record: "a section with settings",
};

/** Says what was expected, for zod's `error`; a schema that has a message of its own is not asked. */
export function expectation(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      if (issue.expected === "string" && ["number", "boolean"].includes(typeof issue.input)) {
        return "expected a string: put it in quotes";
      }
      return `expected ${KINDS[issue.expected] ?? "another value"}`;
    case "invalid_value":
      return `expected ${oneOf(issue.values.map(String))}`;
    case "too_small":
      return `expected at least ${counted(issue.origin, issue.minimum)}`;
    case "too_big":
      return `expected at most ${counted(issue.origin, issue.maximum)}`;
    default:
      return "expected another value";
  }
}

/** `a, b or c`. */
export function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join() : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

function counted(origin: string, bound: number | bigint): string {
  const unit = origin === "string" ? "character" : origin === "array" ? "entry" : undefined;
  if (unit === undefined) return String(bound);
  return `${bound} ${Number(bound) === 1 ? unit : unit.replace(/y$/, "ie").concat("s")}`;
}

const LONGEST = 80;

/** A value as the settings file would have it, in one line that is not longer than a person wants to read. */
export function shown(value: unknown): string {
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? String(value));
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
