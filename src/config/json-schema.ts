/** The settings file as a JSON schema, by which editors complete, explain and check it. */
import { z } from "./zod.ts";
import { DESCRIPTIONS } from "./descriptions.ts";
import { UNBUILT_PATHS, unbuiltSetting } from "./distribution.ts";
import { SETTING_PATHS, acceptedAt, defaultOf } from "./schema.ts";
import { EXAMPLES } from "./sources.ts";
import { parseYaml } from "./yaml.ts";

interface JsonSchema {
  [keyword: string]: unknown;
}

interface Section extends JsonSchema {
  readonly properties: Record<string, JsonSchema>;
}

/** Returns the schema (draft 2020-12). What only the program can check, such as a duration, is a text there. */
export function settingsJsonSchema(): JsonSchema {
  const root = newSection();
  const shared: JsonSchema = {};
  for (const path of SETTING_PATHS) place(root, path, ofSetting(path, shared));
  for (const path of UNBUILT_PATHS) {
    if (unbuiltSetting(path)?.kind !== "ignored") continue;
    place(root, path, { description: `Of distribution. Not needed by Stowage: ${insteadOf(path)}.`, deprecated: true });
  }
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Settings of Stowage",
    ...root,
    ...(Object.keys(shared).length > 0 && { $defs: shared }),
  };
}

function insteadOf(path: string): string {
  const setting = unbuiltSetting(path);
  return setting?.kind === "ignored" ? setting.instead : "";
}

function ofSetting(path: string, shared: JsonSchema): JsonSchema {
  const accepted = acceptedAt(path);
  const {
    $schema: _,
    $defs,
    ...schema
  } = accepted ? (z.toJSONSchema(accepted, { io: "input", unrepresentable: "any" }) as JsonSchema) : {};
  Object.assign(shared, $defs);
  const byDefault = defaultOf(path);
  const example = EXAMPLES[path];
  return {
    ...schema,
    description: withoutLinks(DESCRIPTIONS[path] ?? ""),
    ...(byDefault === undefined ? {} : { default: byDefault }),
    ...(example === undefined ? {} : { examples: [parseYaml(example)] }),
  };
}

/** Sections may have no value, as a settings file may name them without anything in them. */
function newSection(): Section {
  return { type: ["object", "null"], additionalProperties: false, properties: {} };
}

function place(root: Section, path: string, schema: JsonSchema): void {
  const keys = path.split(".");
  const last = keys.pop() ?? "";
  let section = root;
  for (const key of keys) section = (section.properties[key] ??= newSection()) as Section;
  section.properties[last] = schema;
}

/** `[storage.md](storage.md)` is `storage.md` for an editor. */
export function withoutLinks(markdown: string): string {
  return markdown.replaceAll(/\[([^\]]+)\]\([^)]+\)/g, "$1");
}
