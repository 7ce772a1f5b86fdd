/**
 * `npm run conformance -- PROGRAM` runs the official conformance program of the OCI distribution spec against a fresh
 * registry and judges strictly: every test passed, none was skipped or switched off, and there are results at all. The
 * program itself is content with less: it ends with 0 after a mistake in its configuration and after a skipped test.
 *
 * With `--password` or `--token` the registry requires authentication, by the one or the other, and the program logs in.
 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parse } from "yaml";
import { makeDataFolder } from "../test/support/data-folder.ts";
import { runProgram } from "../test/support/program.ts";
import { startRegistry } from "../test/support/registry.ts";

const PASS = "Pass";

/** What came of a test, or of an area of tests that the program sums up. */
interface Outcome {
  readonly name: string;
  /** As the program says it: `Pass`, `Skip`, `Disabled`, `FAIL`, `Error` or `Unknown`. */
  readonly status: string;
  readonly why?: string;
}

interface Verdict {
  readonly passed: number;
  readonly failed: number;
}

/** The user that the program logs in as. */
const USERNAME = "conformance";
const PASSWORD = "made for one run";

/** What the registry asks clients for. */
type Asks = "nothing" | "password" | "token";

/** Runs the program against a registry of its own, tells what came of it on standard output, and gives the counts. */
async function judge(program: string, asks: Asks): Promise<Verdict> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-conformance-"));
  try {
    const dataDir = join(folder, "data");
    const env = { REGISTRY_VALIDATION_MANIFESTS_SPARSE: "true", ...(await authentication(asks, folder, dataDir)) };
    await using registry = await startRegistry({ env, dataDir });
    const { exitCode, output } = await run(program, new URL(registry.url).host, folder, asks);
    const results = await readResults(folder);
    if (!results) {
      console.log(`${output}\nThe program ended with ${exitCode} and wrote no results.`);
      return { passed: 0, failed: 1 };
    }
    return tell(results.areas, results.tests, exitCode);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Makes the account, and gives the settings by which the registry asks for it. */
async function authentication(asks: Asks, folder: string, dataDir: string): Promise<Readonly<Record<string, string>>> {
  const htpasswd = join(folder, "htpasswd");
  switch (asks) {
    case "nothing":
      return {};
    case "password":
      await writeFile(htpasswd, `${USERNAME}:${await Bun.password.hash(PASSWORD, "bcrypt")}\n`);
      return { REGISTRY_AUTH_HTPASSWD_PATH: htpasswd };
    case "token": {
      await makeDataFolder(dataDir);
      const added = await runProgram(dataDir, ["user", "add", USERNAME, "--password-stdin"], {}, PASSWORD);
      if (added.exitCode !== 0) throw new Error(`the account could not be made: ${added.stderr}`);
      return { REGISTRY_AUTH_USERS_ENABLED: "true" };
    }
  }
}

async function run(
  program: string,
  registry: string,
  folder: string,
  asks: Asks,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  const child = Bun.spawn([program], {
    cwd: folder, // it reads a configuration file of the working folder
    env: {
      PATH: process.env["PATH"] ?? "",
      OCI_VERSION: "dev",
      OCI_REGISTRY: registry,
      OCI_TLS: "disabled",
      OCI_REPO1: "org/repo1",
      OCI_REPO2: "org/repo2",
      OCI_DATA_SPARSE: "true",
      OCI_RESULTS_DIR: folder,
      ...(asks === "nothing" ? {} : { OCI_USERNAME: USERNAME, OCI_PASSWORD: PASSWORD }),
    },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, output: `${stdout}${stderr}`.trim() };
}

/** Undefined when there are none. */
async function readResults(
  folder: string,
): Promise<{ readonly areas: readonly Outcome[]; readonly tests: readonly Outcome[] } | undefined> {
  const [summary, report] = await Promise.all([
    findText(join(folder, "results.yaml")),
    findText(join(folder, "junit.xml")),
  ]);
  return summary === undefined ? undefined : { areas: readAreas(summary), tests: readTests(report ?? "") };
}

async function findText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "ENOENT") return undefined;
    throw error;
  }
}

/** `results.yaml` sums up: a status for each API and for each set of data. */
function readAreas(text: string): readonly Outcome[] {
  const results = parse(text) as Readonly<Record<"apis" | "data", Readonly<Record<string, string>> | undefined>> | null;
  return (["apis", "data"] as const).flatMap((kind) =>
    Object.entries(results?.[kind] ?? {}).map(([name, status]) => ({ name: `${kind}: ${name}`, status })),
  );
}

const STATUSES: Readonly<Record<string, string>> = { passed: PASS, skipped: "Skip", failure: "FAIL", error: "Error" };

/** `junit.xml` holds every single test. */
function readTests(xml: string): readonly Outcome[] {
  return [...xml.matchAll(/<testcase ([^>]*)>([\s\S]*?)<\/testcase>/g)].map(([, attributes = "", content = ""]) => {
    const status = /\bstatus="([^"]*)"/.exec(attributes)?.[1] ?? "Unknown";
    const why = /<system-out>([\s\S]*?)<\/system-out>/.exec(content)?.[1];
    return {
      name: unescapeXml(/\bname="([^"]*)"/.exec(attributes)?.[1] ?? ""),
      status: STATUSES[status] ?? status,
      ...(why ? { why: unescapeXml(why) } : {}),
    };
  });
}

function unescapeXml(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };
  return text.replaceAll(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return named[name] ?? whole;
      return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
    },
  );
}

function tell(areas: readonly Outcome[], tests: readonly Outcome[], exitCode: number): Verdict {
  for (const [title, outcomes] of [["Areas", areas] as const, ["Tests", tests] as const]) {
    const counts = Object.entries(Object.groupBy(outcomes, ({ status }) => status));
    console.log(`${title}: ${counts.map(([status, each]) => `${each?.length} ${status}`).join(", ") || "none"}`);
  }
  const others = [...areas, ...tests].filter(({ status }) => status !== PASS);
  for (const { name, status, why } of others)
    console.log(`${status}  ${name}${why ? `\n  ${why.replaceAll("\n", "\n  ")}` : ""}`);
  const passed = tests.filter(({ status }) => status === PASS).length;
  if (exitCode === 0 || others.length > 0) return { passed, failed: others.length };
  console.log(`The program ended with ${exitCode}.`);
  return { passed, failed: 1 };
}

/** Gives the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const asks = args.includes("--password") ? "password" : args.includes("--token") ? "token" : "nothing";
  const [program, ...more] = args.filter((word) => word !== `--${asks}`);
  if (program === undefined || more.length > 0) {
    console.error(
      "Usage: npm run conformance -- PROGRAM [--password | --token] (the path of the official conformance program, built)",
    );
    return 1;
  }
  const path = resolve(program);
  if (!existsSync(path)) {
    console.error(`There is no program at ${path}.`);
    return 1;
  }
  const { passed, failed } = await judge(path, asks);
  console.log(`${passed} passed, ${failed} failed`);
  return passed > 0 && failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
