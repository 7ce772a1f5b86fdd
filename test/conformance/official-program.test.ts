/** How `npm run conformance` judges the official program: here are programs that do what the real one might. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../support/registry.ts";

setDefaultTimeout(60_000);

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "stowage-test-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Judged {
  readonly exitCode: number;
  readonly lines: readonly string[];
}

async function judge(...args: readonly string[]): Promise<Judged> {
  const child = Bun.spawn([join(ROOT, "tools/bun"), join(ROOT, "tools/conformance.ts"), ...args], {
    cwd: folder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, lines: `${stdout}${stderr}`.trim().split("\n") };
}

/** Writes a program and has it judged. */
async function judgeProgram(script: string): Promise<Judged> {
  const path = join(folder, `program-${Bun.hash(script)}`);
  await writeFile(path, `#!/bin/sh\nset -eu\n${script}\n`);
  await chmod(path, 0o755);
  return await judge(path);
}

interface Results {
  readonly apis?: Readonly<Record<string, string>>;
  readonly data?: Readonly<Record<string, string>>;
  readonly tests?: Readonly<Record<string, string>>;
}

const section = (entries: Readonly<Record<string, string>>): string =>
  Object.entries(entries)
    .map(([name, status]) => `\n  ${name}: ${status}`)
    .join("");

/** The part of a program that writes the two files as the real one does. */
function writing({ apis = { Ping: "Pass" }, data = { Image: "Pass" }, tests = { ping: "passed" } }: Results): string {
  const cases = Object.entries(tests).map(
    ([name, status]) =>
      `<testcase name="OCI Conformance Test/${name}" classname="" time="0.1" status="${status}">` +
      (status === "passed" ? "" : "<system-out>expected &#34;416&#34;,&#xA;received &lt;200&gt;</system-out>") +
      `<system-err>~~~ REQUEST&#xA;GET /v2/</system-err></testcase>`,
  );
  return [
    `cat > "$OCI_RESULTS_DIR/results.yaml" <<'END'`,
    `config:\n  version: dev\napis:${section(apis)}\ndata:${section(data)}`,
    "END",
    `cat > "$OCI_RESULTS_DIR/junit.xml" <<'END'`,
    `<testsuites><testsuite>${cases.join("\n")}</testsuite></testsuites>`,
    "END",
  ].join("\n");
}

test("a program that passes everything: exit code 0", async () => {
  const tests = { ping: "passed", "sha256 blobs/post only": "passed", "range requests/{range 500-0}": "passed" };
  const { exitCode, lines } = await judgeProgram(writing({ tests }));
  expect(lines).toEqual(["Areas: 2 Pass", "Tests: 3 Pass", "3 passed, 0 failed"]);
  expect(exitCode).toBe(0);
});

test("the program is told where the registry is, and to test all of the newest spec", async () => {
  const check = [
    'test "$OCI_VERSION $OCI_TLS $OCI_REPO1 $OCI_REPO2 $OCI_DATA_SPARSE" = "dev disabled org/repo1 org/repo2 true"',
    `case $OCI_REGISTRY in 127.0.0.1:[0-9]*) ;; *) exit 3 ;; esac`,
    'test -d "$OCI_RESULTS_DIR"',
  ].join("\n");
  const { exitCode, lines } = await judgeProgram(`${check}\n${writing({})}`);
  expect(lines.at(-1)).toBe("1 passed, 0 failed");
  expect(exitCode).toBe(0);
});

describe("anything less: exit code 1", () => {
  const rows: readonly (readonly [title: string, results: Results, expected: readonly string[]])[] = [
    [
      "a test that failed",
      { tests: { ping: "passed", "blobs/post only": "failure" } },
      [
        "Areas: 2 Pass",
        "Tests: 1 Pass, 1 FAIL",
        "FAIL  OCI Conformance Test/blobs/post only",
        '  expected "416",',
        "  received <200>",
        "1 passed, 1 failed",
      ],
    ],
    ["a test that was skipped", { tests: { ping: "passed", mount: "skipped" } }, ["1 passed, 1 failed"]],
    ["a test that went wrong", { tests: { ping: "passed", mount: "error" } }, ["1 passed, 1 failed"]],
    [
      "an area that is switched off",
      { data: { Image: "Pass", "Sparse Manifests": "Disabled" } },
      ["Areas: 2 Pass, 1 Disabled", "Tests: 1 Pass", "Disabled  data: Sparse Manifests", "1 passed, 1 failed"],
    ],
    ["an area that failed", { apis: { "Blob mount": "FAIL" } }, ["FAIL  apis: Blob mount", "1 passed, 1 failed"]],
    ["no tests at all", { tests: {} }, ["Tests: none", "0 passed, 0 failed"]],
  ];
  for (const [title, results, expected] of rows) {
    test(title, async () => {
      const { exitCode, lines } = await judgeProgram(writing(results));
      expect(lines.slice(-expected.length)).toEqual([...expected]);
      expect(exitCode).toBe(1);
    });
  }

  test("a program that ends well and writes nothing, as the real one does when it is configured badly", async () => {
    const { exitCode, lines } = await judgeProgram("echo 'failed to load config' >&2");
    expect(lines).toEqual([
      "failed to load config",
      "The program ended with 0 and wrote no results.",
      "0 passed, 1 failed",
    ]);
    expect(exitCode).toBe(1);
  });

  test("a program that writes good results and ends badly", async () => {
    const { exitCode, lines } = await judgeProgram(`${writing({})}\nexit 2`);
    expect(lines.slice(-2)).toEqual(["The program ended with 2.", "1 passed, 1 failed"]);
    expect(exitCode).toBe(1);
  });

  test("a program that is not there", async () => {
    const { exitCode, lines } = await judge(join(folder, "nobody"));
    expect(lines).toEqual([`There is no program at ${join(folder, "nobody")}.`]);
    expect(exitCode).toBe(1);
  });

  test("no program", async () => {
    const { exitCode, lines } = await judge();
    expect(lines).toHaveLength(1);
    expect(lines[0]).toStartWith("Usage: npm run conformance -- PROGRAM");
    expect(exitCode).toBe(1);
  });
});
