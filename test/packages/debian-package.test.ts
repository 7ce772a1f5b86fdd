/** The Debian package: what is in it, and that its server, settings, manual page and completions work together. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import manifest from "../../package.json";
import { HELP } from "../../src/cli/run.ts";
import { buildDeb } from "../../tools/build-deb.ts";
import { currentCommit } from "../../tools/commit.ts";
import { makeScratchFolder } from "../clients/support/scratch-folder.ts";
import { startListening } from "../support/server-process.ts";

const COMMANDS = [...HELP.matchAll(/^ {2}stowage ([a-z][a-z-]*)/gm)].map(([, name = ""]) => name);

const resources = new AsyncDisposableStack();
let file: string;
/** Where the package is unpacked. */
let root: string;

beforeAll(async () => {
  const folder = resources.use(await makeScratchFolder()).path;
  root = join(folder, "root");
  file = await buildDeb(process.arch === "arm64" ? "arm64" : "amd64", folder, currentCommit());
  expect(Bun.spawnSync(["dpkg-deb", "--raw-extract", file, root]).exitCode).toBe(0);
});

afterAll(() => resources.disposeAsync());

test("its settings are a file that dpkg keeps, and its server runs with them", async () => {
  expect(await readFile(join(root, "DEBIAN/conffiles"), "utf8")).toBe("/etc/stowage/config.yml\n");
  const unit = await readFile(join(root, "lib/systemd/system/stowage.service"), "utf8");
  const [, program = "", settings = ""] = /^ExecStart=(\S+) serve (\S+)$/m.exec(unit) ?? [];
  await using server = await startListening({
    program: join(root, program),
    words: ["serve", join(root, settings)],
  });
  expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
  expect(await server.stop()).toBe(0);
});

test("the manual page has every command and no placeholder", async () => {
  const page = gunzipSync(await readFile(join(root, "usr/share/man/man1/stowage.1.gz"))).toString();
  expect(page).toContain(`Stowage ${manifest.version}`);
  expect(page).not.toMatch(/@[A-Z]+@/);
  const named = [...page.matchAll(/^\.B ([a-z][a-z\\-]*)/gm)].map(([, name = ""]) => name.replaceAll("\\", ""));
  for (const command of COMMANDS) expect(named).toContain(command);
});

test("bash completes commands, what stands behind them, and options", () => {
  const program = join(root, "usr/lib/stowage/stowage");
  const complete = (...words: readonly string[]): readonly string[] => {
    const script = `source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stowage; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const source = join(root, "usr/share/bash-completion/completions/stowage");
    const { stdout } = Bun.spawnSync(["bash", "-c", script, source, program, ...words]);
    return stdout.toString().trim().split("\n");
  };
  expect(complete("")).toEqual(expect.arrayContaining([...COMMANDS, "--version"]));
  expect(complete("garb")).toEqual(["garbage-collect"]);
  expect(complete("user", "a")).toEqual(["add"]);
  expect(complete("gc", "--dry")).toEqual(["--dry-run"]);
});

test("its scripts name no file that is not in the package", async () => {
  for (const script of ["postinst", "prerm", "postrm"]) {
    expect(Bun.spawnSync(["sh", "-n", join(root, "DEBIAN", script)]).exitCode).toBe(0);
  }
  const [, started = ""] = /^exec (\S+)/m.exec(await readFile(join(root, "usr/bin/stowage"), "utf8")) ?? [];
  expect(existsSync(join(root, started))).toBe(true);
});
