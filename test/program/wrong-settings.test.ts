/** Settings that a command is given and that are wrong: told in one line of plain words, before anything is done. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { CommandError } from "../../src/cli/command-error.ts";

const CLI = resolve(import.meta.dir, "../../src/cli");

const scratch = mkdtempSync(join(tmpdir(), "stowage-options-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const DATA = join(scratch, "data");
const EMPTY = join(scratch, "empty.yml");
const BROKEN = join(scratch, "broken.yml");
writeFileSync(EMPTY, "");
writeFileSync(BROKEN, "http:\n\taddr: x\n");

/** Words that a command takes; those that are not here take none. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  backup: [join(scratch, "backup")],
  restore: [join(scratch, "backup")],
  explain: ["alice", "push", "team/app"],
  cat: ["team/app:latest"],
  user: ["list"],
  token: ["list"],
  repo: ["list"],
  tag: ["delete", "team/app:latest"],
  quota: ["list"],
  config: ["check"],
  events: ["status"],
  export: ["team/app:latest", "--to", join(scratch, "layout")],
};

/** Takes the settings of two registries, and no others. */
const MIGRATE = "migrate";

/** The commands that `run.ts` knows: it loads each from the file of its name. */
const COMMANDS: readonly string[] = Array.from(
  readFileSync(join(CLI, "run.ts"), "utf8").matchAll(/^ {2}(\w+): async \(\) => \(await import\(/gm),
  ([, name = ""]) => name,
).filter((name) => name !== MIGRATE);

type Environment = Readonly<Record<string, string>>;

const WRONG: readonly (readonly [what: string, options: readonly string[], environment: Environment, said: string])[] =
  [
    ["an address", ["--addr", "nonsense"], {}, '--addr: http.addr is "nonsense", but expected host:port'],
    ["a port", ["--addr", ":99999"], {}, '--addr: http.addr is ":99999", but expected host:port'],
    ["an empty address", ["--addr="], {}, '--addr: http.addr is "", but expected host:port'],
    ["an empty folder", ["--data="], {}, '--data: storage.filesystem.rootdirectory is "", but expected'],
    [
      "a level",
      ["--log-level", "loud"],
      {},
      '--log-level: log.level is "loud", but expected debug, info, warn or error',
    ],
    [
      "a truth value",
      ["--delete", "perhaps"],
      {},
      '--delete: storage.delete.enabled is "perhaps", but expected true or',
    ],
    ["no address", ["--addr"], {}, "--addr takes a value"],
    [
      "a file that is not there",
      ["--config", join(scratch, "none.yml")],
      {},
      "none.yml cannot be read: it does not exist",
    ],
    ["a folder for a file", ["--config", scratch], {}, "cannot be read: it is a folder"],
    ["a file below a file", ["--config", join(EMPTY, "x")], {}, "cannot be read: a part of its path is not a folder"],
    ["a file that is no YAML", ["--config", BROKEN], {}, "broken.yml: line 2, column 1: a line is indented with a tab"],
    [
      "a file that the environment names",
      [],
      { REGISTRY_CONFIGURATION_PATH: BROKEN },
      "broken.yml: line 2, column 1: ",
    ],
    ["a variable", [], { REGISTRY_GC_GRACE: "soon" }, 'REGISTRY_GC_GRACE: gc.grace is "soon", but expected a duration'],
    ["an option that there is not", ["--adr", ":5000"], {}, "unknown option --adr of stowage"],
  ];

describe("a wrong setting", () => {
  test("is tried with every command", () => {
    expect(COMMANDS).toEqual(expect.arrayContaining(["serve", "gc", "check", ...Object.keys(WORDS).slice(0, 6)]));
  });

  for (const name of COMMANDS) {
    for (const [what, options, environment, said] of WRONG) {
      test(`is told by stowage ${name}: ${what}`, async () => {
        const module = (await import(join(CLI, `${name}.ts`))) as Readonly<
          Record<string, (args: readonly string[], environment: Environment) => Promise<number>>
        >;
        const where = { REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: DATA, ...environment };
        const error: unknown = await module[name]?.([...(WORDS[name] ?? []), ...options], where).catch(
          (reason: unknown) => reason,
        );
        expect(error).toBeInstanceOf(CommandError);
        const { message } = error as CommandError;
        expect(message).toContain(said);
        expect(message).not.toMatch(/\n|ENOENT|EISDIR|ENOTDIR|ERR_|undefined|[Ii]nvalid/);
        expect(existsSync(DATA)).toBeFalse();
      });
    }
  }
});

test.each([
  [[], "migrate takes --from and --to"],
  [["--from", "old.yml"], "migrate takes --from and --to"],
  [["--from", BROKEN, "--to", EMPTY], "broken.yml: line 2, column 1: a line is indented with a tab"],
  [["--from", EMPTY, "--to", join(scratch, "none.yml")], "none.yml cannot be read: it does not exist"],
  [["--from", DATA, "--to", DATA], "mean the same database"],
  [["--from", DATA, "--to", join(scratch, "other")], `there is no registry in ${DATA}`],
] as const)("stowage migrate %p is refused in words, and makes no folder", async (words, said) => {
  const { migrate } = await import("../../src/cli/migrate.ts");
  await expect(migrate(words)).rejects.toThrow(said);
  expect([existsSync(DATA), existsSync(join(scratch, "other"))]).toEqual([false, false]);
});
