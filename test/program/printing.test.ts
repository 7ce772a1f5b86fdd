/** What commands print: whole, however slow the reader, and without orders to a terminal. */
import { Database } from "bun:sqlite";
import { expect, setDefaultTimeout, test } from "bun:test";
import { utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRegistry } from "../../src/index.ts";
import { PROGRAM } from "../support/registry.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(60_000);

const folder = await scratchFolder();
await (await createRegistry({ storage: { folder } })).close();

/** More than a pipe holds. */
const COUNT = 20_000;

/** Runs the words of a shell, in which `$STOWAGE` is the program. */
async function shell(words: string): Promise<{ readonly stdout: string; readonly stderr: string }> {
  const child = Bun.spawn(["sh", "-c", words], {
    env: { PATH: process.env["PATH"] ?? "", STOWAGE: PROGRAM, REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: folder },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr };
}

/** As the names of machines that log in; written into the database, where another program could have put them. */
function addRobots(names: readonly string[]): void {
  const database = new Database(join(folder, "registry.db"));
  const insert = database.query(
    "insert into robot_token (id, robot, secret_hash, grants, created_at) values (?, ?, ?, '[]', 0)",
  );
  database.transaction(() => {
    for (const [index, name] of names.entries()) insert.run(`${name}-${index}`, name, new Uint8Array(32));
  })();
  database.close();
}

test("a list is printed whole to a reader that is slow", async () => {
  addRobots(Array.from({ length: COUNT }, (_, index) => `r${String(index).padStart(6, "0")}`));
  const { stdout, stderr } = await shell('"$STOWAGE" token list | { sleep 1; wc -l; }');
  expect([stdout.trim(), stderr]).toEqual([String(COUNT + 1), `stowage: the registry in ${folder}\n`]);
});

test("a reader that has seen enough ends the command quietly, with the exit code of SIGPIPE", async () => {
  const { stdout, stderr } = await shell('{ "$STOWAGE" token list; echo "ended with $?" >&2; } | head -n 1');
  expect([stdout, stderr]).toEqual([expect.stringMatching(/^ID +ROBOT/), "ended with 141\n"]);
});

test("a full disk is one line that says so", async () => {
  const { stderr } = await shell('"$STOWAGE" token list > /dev/full; echo "ended with $?" >&2');
  expect(stderr).toMatch(/^stowage: printing failed: [^\n]+\nended with 1\n$/);
});

test("control characters in names are escaped, in tables, in JSON and in messages", async () => {
  const name = "ci\u001b[2K\u009b2K\u007f\nrobot";
  const escaped = String.raw`ci\u001b[2K\u009b2K\u007f\u000arobot`;
  addRobots([name]);
  const unknown = join(folder, "uploads", name);
  await writeFile(unknown, "what no record names");
  await utimes(unknown, 0, 0);
  for (const words of [
    ["token", "list"],
    ["token", "list", "--json"],
    ["token", "revoke", "--for", "\u009b2K"],
    ["check"],
    ["check", "--json"],
    ["tag", "delete", "\u009b2K"],
    ["\u009b2K"],
  ]) {
    const { stdout, stderr } = await runProgram(folder, words);
    expect((stdout + stderr).replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  }
  expect((await runProgram(folder, ["token", "list"])).stdout).toContain(` ${escaped} `);
  expect((await runProgram(folder, ["check"])).stdout).toContain(escaped);
});
