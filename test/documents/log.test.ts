/** What the documents say of the log, of metrics and of the database: every name is there, and none is left out. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import { queryFolder } from "../support/data-folder.ts";
import { ROOT, codeSpansIn, readDocument, tableRowsIn } from "../support/markdown.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const OPERATIONS = readDocument("docs/operations.md");
const scratch = await scratchFolder();

/** All code that is shipped, with texts that go over several lines in one piece. */
const SOURCE = [...new Bun.Glob("src/**/*.ts").scanSync(ROOT)]
  .filter((path) => !path.endsWith(".test.ts") && !path.includes("/testing/"))
  .map((path) => readFileSync(join(ROOT, path), "utf8").replaceAll(/(["`]) \+\s*["`]/g, ""))
  .join("\n");

/** The texts in calls that log at this level; those that are made of variables have no place here. */
function loggedTexts(level: string): readonly string[] {
  const calls = SOURCE.matchAll(new RegExp(`\\blog\\??\\.${level}\\(([^;]*?)\\);`, "g"));
  return Array.from(calls, ([, call = ""]) => /"([^"]+)",?\s*$/.exec(call)?.[1]).filter((text) => text !== undefined);
}

/** The names in backticks in a cell. */
function namesIn(cell: string | undefined): readonly string[] {
  return Array.from((cell ?? "").matchAll(/`([^`]+)`/g), ([, name = ""]) => name);
}

describe("a line of the log", () => {
  const rows = tableRowsIn(OPERATIONS, "level").map(([level = "", message]) => ({
    level,
    message: namesIn(message)[0],
  }));

  test("is in the table", () => {
    expect(rows.length).toBeGreaterThan(5);
  });

  for (const { level, message = "" } of rows) {
    test(`that the table has is written by the program: ${level}: ${message}`, () => {
      const parts = message.split("…").map((part) => part.trim());
      expect(parts.filter((part) => !SOURCE.includes(part))).toEqual([]);
    });
  }

  for (const text of new Set(loggedTexts("error"))) {
    test(`that tells of an error is in the table, or where the library is described: ${text}`, () => {
      const errors = rows.filter(({ level }) => level === "error").map(({ message }) => message);
      expect([...errors, ...codeSpansIn(readDocument("docs/library.md"))]).toContain(text);
    });
  }

  test("for a request has the fields that the table and the example of the README have", async () => {
    const known = tableRowsIn(OPERATIONS, "field").flatMap(([names]) => namesIn(names));
    const [example = ""] = /^\{"level":"info".*"http\.request\.method".*\}$/m.exec(readDocument("README.md")) ?? [];
    const env = { REGISTRY_AUTH_HTPASSWD_PATH: join(scratch, "htpasswd") };
    await using server = await startListening({ env });
    const [, password = ""] = await server.printed(/"password":"([^"]+)"/);
    const credentials = Buffer.from(`docker:${password}`).toString("base64");
    await fetch(`${server.url}/v2/`, { headers: { authorization: `Basic ${credentials}`, "user-agent": "a test" } });
    const [line] = await server.printed(/^\{.*"http\.request\.method".*"a test".*\}$/m);
    const fields = Object.keys(JSON.parse(line) as object);
    expect(known.toSorted()).toEqual(fields.toSorted());
    const anonymous = fields.filter((field) => field !== "auth.user.name");
    expect(Object.keys(JSON.parse(example) as object).toSorted()).toEqual(anonymous.toSorted());
  });
});

describe("a message in docs/troubleshooting.md", () => {
  const messages = tableRowsIn(readDocument("docs/troubleshooting.md"), "message").map(([cell]) => namesIn(cell)[0]);

  test("is there", () => {
    expect(messages.length).toBeGreaterThan(8);
  });

  for (const message of messages) {
    test(`is one of the program's: ${message}`, () => {
      const parts = (message ?? "").split("…").map((part) => part.trim());
      expect(parts.filter((part) => !SOURCE.includes(part))).toEqual([]);
    });
  }
});

test("every option of the library is in docs/library.md", () => {
  const named = new Set(tableRowsIn(readDocument("docs/library.md"), "option").flatMap(([option]) => namesIn(option)));
  const options = propertiesOf("RegistryOptions").filter((name) => name !== "limits");
  const limits = propertiesOf("RegistryLimits").map((name) => `limits.${name}`);
  expect([...options, ...limits].filter((name) => !named.has(name))).toEqual([]);
});

/** The properties of an interface, by its text. */
function propertiesOf(name: string): readonly string[] {
  const [, body = ""] = new RegExp(`^export interface ${name} \\{$([\\s\\S]*?)^\\}$`, "m").exec(SOURCE) ?? [];
  return Array.from(body.matchAll(/^ {2}readonly (\w+)\??:/gm), ([, property = ""]) => property);
}

test("every metric that a server shows is in the table, and every one in the table is shown", async () => {
  const env = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0", REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" };
  await using server = await startListening({ env });
  const [, debug = ""] = await server.printed(/"debugUrl":"([^"]+)"/);
  const text = await (await fetch(`${debug}/metrics`)).text();
  const there = Array.from(text.matchAll(/^# TYPE (\S+) /gm), ([, name = ""]) => name);
  const named = tableRowsIn(OPERATIONS, "metric")
    .flatMap(([cell]) => namesIn(cell).slice(0, 1))
    .map((name) => name.replace(/\{.*/, ""));
  expect(named.toSorted()).toEqual(there.toSorted());
});

test("every table of the database is in docs/storage.md, and every one there is in the database", async () => {
  const folder = join(scratch, "data");
  await (await createRegistry({ storage: { folder } })).close();
  const tables = queryFolder(
    folder,
    "select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'",
  );
  const named = tableRowsIn(readDocument("docs/storage.md"), "table").flatMap(([cell]) => namesIn(cell));
  expect(named.toSorted()).toEqual(tables.map(({ name }) => String(name)).toSorted());
});
