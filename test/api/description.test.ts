/** The description of the API says what is served, and nothing else. */
import { expect, test } from "bun:test";
import { OPERATIONS } from "../../src/server/api/api.ts";
import { openApi } from "../../src/server/api/description.ts";
import { API_RESOURCES } from "../../src/server/api-resources.ts";
import { allMethods } from "./support/api-client.ts";

interface Described {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly schema?: object }[];
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
}

const description = openApi(OPERATIONS) as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
};
const described = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

function names(all: readonly (readonly [method: string, path: string])[]): readonly string[] {
  return all.map(([method, path]) => `${method} ${path}`).toSorted();
}

test("every method of every resource is an operation that is described, once", () => {
  expect(names(described.map(({ method, path }) => [method, path]))).toEqual(names(allMethods()));
  const ids = described.map(({ operation }) => operation.operationId);
  expect(new Set(ids).size).toBe(ids.length);
  expect(OPERATIONS.length).toBe(described.length);
});

test("every operation has a summary, its parameters and its responses", () => {
  for (const { path, operation } of described) {
    const inPath = operation.parameters.filter((each) => each.in === "path").map(({ name }) => name);
    expect(inPath).toEqual(Array.from(path.matchAll(/\{(\w+)\}/g), ([, name = ""]) => name));
    expect(operation.summary.length).toBeGreaterThan(5);
    expect(operation.parameters.every(({ schema }) => schema !== undefined)).toBe(true);
    expect(operation.responses["200"]?.description).toBeDefined();
  }
});

test("headers with conditions are described where they are obeyed", () => {
  for (const { method, operation } of described) {
    const headers = operation.parameters.filter((each) => each.in === "header").map(({ name }) => name);
    const expected = method === "GET" ? ["If-None-Match"] : [];
    expect(headers).toEqual(operation.operationId === "putTag" ? ["If-Match", "If-None-Match"] : expected);
  }
});

test("every reference leads to a schema, and every schema is used", () => {
  const used = new Set(
    Array.from(JSON.stringify(description).matchAll(/#\/components\/schemas\/(\w+)/g), ([, id = ""]) => id),
  );
  const known = Object.keys(description.components.schemas);
  expect([...used].filter((id) => !known.includes(id))).toEqual([]);
  expect(known.filter((id) => !used.has(id))).toEqual([]);
  expect(JSON.stringify(description)).not.toContain("#/$defs");
});

test("paths of resources do not hide each other", () => {
  const paths = Object.values(API_RESOURCES).map(({ path }) => path.replaceAll(/\{\w+\}/g, "{}"));
  expect(new Set(paths).size).toBe(paths.length);
});
