import { expect, test } from "bun:test";
import { settingsJsonSchema } from "./json-schema.ts";
import { SETTING_PATHS } from "./schema.ts";

interface Node {
  readonly properties?: Readonly<Record<string, Node>>;
  readonly description?: string;
  readonly type?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: unknown;
}

const SCHEMA = settingsJsonSchema() as Node;

function at(path: string): Node | undefined {
  return path.split(".").reduce<Node | undefined>((node, key) => node?.properties?.[key], SCHEMA);
}

test("the JSON schema has every setting with its description and what it takes", () => {
  for (const path of SETTING_PATHS) {
    const found = at(path);
    expect([path, found?.description]).toEqual([path, expect.stringMatching(/\w{3}/)]);
    expect([path, found?.type ?? found?.enum ?? found?.anyOf]).toEqual([path, expect.anything()]);
  }
});

test("the JSON schema accepts what distribution has and Stowage does not need", () => {
  for (const path of ["version", "redis", "storage.cache", "health.storagedriver"]) {
    expect(at(path)).toMatchObject({ deprecated: true });
  }
});

test("each reference in the JSON schema leads somewhere in it", () => {
  const schema = settingsJsonSchema();
  const references = JSON.stringify(schema).match(/(?<="\$ref":")[^"]+/g) ?? [];
  for (const reference of references) {
    const found = reference
      .replace(/^#\//, "")
      .split("/")
      .reduce<unknown>((node, key) => (node as Record<string, unknown> | undefined)?.[key], schema);
    expect([reference, found]).toEqual([reference, expect.anything()]);
  }
});
