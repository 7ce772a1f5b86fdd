/** YAML as plain data, or one line that says where it is wrong and what to do. */
import type * as Yaml from "yaml";
import type { Document, ErrorCode } from "yaml";

/** Loaded when there is something to read: that takes longer than many a command runs. */
function yaml(): typeof Yaml {
  return require("yaml") as typeof Yaml; // written so that a bundler finds it
}

export class YamlError extends Error {
  override readonly name = "YamlError";
}

/** Deeper than any settings go; aliases can make a document that contains itself. */
const MAX_DEPTH = 32;

const MISTAKES: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_DQ_ESCAPE: "unknown escape: in double quotes write two backslashes, or use single quotes",
  BAD_INDENT: "wrong indentation, or a bracket before this line is not closed",
  BAD_SCALAR_START: "a value that begins with this character needs quotes",
  BLOCK_AS_IMPLICIT_KEY: "a value that contains a colon and a space needs quotes",
  BLOCK_IN_FLOW: "a bracket is not closed",
  DUPLICATE_KEY: "duplicate key: remove one of them",
  MISSING_CHAR: "missing a closing quote or bracket, a comma, or a colon with a space after it",
  MULTILINE_IMPLICIT_KEY: "a key needs a colon and a space after it, on the same line",
  MULTIPLE_DOCS: "more than one document: remove the --- line",
  TAB_AS_INDENT: "a line is indented with a tab: use spaces",
  UNEXPECTED_TOKEN: "unexpected character: a bracket, a comma, or a value that needs quotes",
};

const NO_ANCHOR = "unknown anchor: a value that begins with * needs quotes";

/** Data, and where its keys stand in the text. */
export interface ParsedYaml {
  readonly value: unknown;
  /** The line, counted from 1, of a key, or of the nearest one above it that is there; undefined when none is. */
  readonly lineOf: (keys: readonly string[]) => number | undefined;
}

/** What most variables of the environment are, and JSON reads as YAML does. */
const SIMPLE = /^(?:true|false|0|[1-9]\d{0,14})$/;

/** Throws `YamlError` alone. */
export function parseYaml(text: string): unknown {
  if (SIMPLE.test(text)) return JSON.parse(text);
  return parseYamlWithLines(text).value;
}

/** Throws `YamlError` alone. */
export function parseYamlWithLines(text: string): ParsedYaml {
  const { LineCounter, parseDocument } = yaml();
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, logLevel: "error", lineCounter: lines });
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `line ${line}, column ${col}`;
  };
  const [error] = document.errors;
  if (error)
    throw new YamlError(`${at(error.pos[0])}: ${MISTAKES[error.code] ?? "this is not YAML"}`, { cause: error });
  const lost = danglingAlias(document);
  if (lost !== undefined) throw new YamlError(`${at(lost)}: ${NO_ANCHOR}`);
  let value: unknown;
  try {
    value = document.toJS();
  } catch (cause) {
    throw new YamlError("too large: an anchor is used too often", { cause });
  }
  if (!isShallow(value, MAX_DEPTH)) throw new YamlError("it is nested too deeply");
  return {
    value,
    lineOf(keys) {
      const offset = offsetOf(document, keys);
      return offset === undefined ? undefined : lines.linePos(offset).line;
    },
  };
}

function offsetOf(document: Document.Parsed, keys: readonly string[]): number | undefined {
  const { isAlias, isMap, isNode, isScalar, isSeq } = yaml();
  let found: number | undefined;
  let place: unknown = document.contents;
  for (const key of keys) {
    if (isAlias(place)) place = place.resolve(document);
    let at: unknown;
    if (isMap(place)) {
      const pair = place.items.find((each) => isScalar(each.key) && String(each.key.value) === key);
      [at, place] = [pair?.key, pair?.value];
    } else if (isSeq(place)) {
      place = at = place.items[Number(key)];
    }
    if (!isNode(at)) break;
    found = at.range?.[0] ?? found;
  }
  return found;
}

/** Where the first alias stands that leads to no anchor. */
function danglingAlias(document: Document.Parsed): number | undefined {
  const { visit } = yaml();
  let found: number | undefined;
  visit(document, {
    Alias(_, alias) {
      if (alias.resolve(document)) return undefined;
      found = alias.range?.[0] ?? 0;
      return visit.BREAK;
    },
  });
  return found;
}

function isShallow(value: unknown, depth: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return depth > 0 && Object.values(value).every((inner) => isShallow(inner, depth - 1));
}
