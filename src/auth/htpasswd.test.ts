/** Files of users: what their lines mean, and one that is made. */
import { describe, expect, test } from "bun:test";
import { chmod, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { scratchFolder } from "../../test/support/scratch.ts";
import { HtpasswdFile, parseHtpasswd, provideHtpasswd } from "./htpasswd.ts";
import { CountingPasswords, hashOf } from "./testing/passwords.ts";
import { StillClock, readableLog } from "./testing/subject.ts";

const scratch = await scratchFolder();
const BCRYPT = await hashOf("wonderland", "bcrypt");
const OTHER = await hashOf("looking-glass", "bcrypt");
const ARGON2ID = await hashOf("wonderland");

function generations(text: string): readonly string[] {
  return Array.from(parseHtpasswd(text).entries.values(), ({ generation }) => generation);
}

describe("an htpasswd file", () => {
  test("has a name and a hash on each line, and whatever people put around them", () => {
    const text = `# users\n\n  alice:${BCRYPT}  \r\nbob:${ARGON2ID}\n\n#carol:${BCRYPT}`;
    const { entries, warnings } = parseHtpasswd(text);
    expect([...entries].map(([name, { hash }]) => [name, hash])).toEqual([
      ["alice", BCRYPT],
      ["bob", ARGON2ID],
    ]);
    expect(warnings).toEqual([]);
  });

  test("has no users when it is empty", () => {
    for (const text of ["", "\n", "# nobody\n"]) expect(parseHtpasswd(text).entries.size).toBe(0);
  });

  test("means the last line of two with the same name", () => {
    expect(parseHtpasswd(`alice:${BCRYPT}\nalice:${OTHER}\n`).entries.get("alice")?.hash).toBe(OTHER);
    expect(parseHtpasswd(`alice:${BCRYPT}\nalice:!\n`).entries.has("alice")).toBeFalse();
  });

  for (const hash of ["{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "$apr1$x$y", "secret", "", "$2y$05$short", "$6$salt$hash"]) {
    test(`says that no user can log in by ${JSON.stringify(hash)}, and does not say what it is`, () => {
      const { entries, warnings } = parseHtpasswd(`alice:${BCRYPT}\nbob:${hash}\n`);
      expect([...entries.keys()]).toEqual(["alice"]);
      expect(warnings).toEqual([expect.stringMatching(/^line 2: the password of bob has a hash that is neither/)]);
      if (hash !== "") expect(warnings[0]).not.toContain(hash);
    });
  }

  for (const [what, hash] of [
    ["bcrypt of cost 31", BCRYPT.replace("$04$", "$31$")],
    ["argon2id of 1 GiB", ARGON2ID.replace("m=8,", "m=1048576,")],
    ["argon2id of many passes", ARGON2ID.replace("t=1,", "t=1000000,")],
  ] as const) {
    test(`says that no user can log in by ${what}: each attempt would make the server compute it`, () => {
      const { entries, warnings } = parseHtpasswd(`alice:${BCRYPT}\nbob:${hash}\n`);
      expect([...entries.keys()]).toEqual(["alice"]);
      expect(warnings).toEqual([expect.stringMatching(/^line 2: the password of bob has a hash whose cost/)]);
    });
  }

  test("passes over what is no line of it", () => {
    const { entries, warnings } = parseHtpasswd(`nonsense\n:${BCRYPT}\nalice:${BCRYPT}\n`);
    expect([...entries.keys()]).toEqual(["alice"]);
    expect(warnings).toEqual(["line 1 is not NAME:HASH and is ignored", "line 2 is not NAME:HASH and is ignored"]);
  });

  test("gives a generation to each user that changes with the user's line alone, and says nothing of the hash", () => {
    const before = generations(`alice:${BCRYPT}\nbob:${BCRYPT}`);
    const after = generations(`alice:${BCRYPT}\nbob:${OTHER}`);
    expect(after[0]).toBe(before[0]);
    expect(after[1]).not.toBe(before[1]);
    expect(before[0]).not.toBe(before[1]);
    expect(before[0]).not.toContain(BCRYPT);
  });

  test("that went has no users, and the log says so once", async () => {
    const { log, lines } = readableLog();
    const clock = new StillClock();
    const file = new HtpasswdFile(join(scratch, "nowhere"), clock, log);
    for (let time = 0; time < 3; time++) {
      clock.ms++;
      expect(file.find("alice")).toBeUndefined();
    }
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ msg: expect.stringContaining("its users cannot log in") });
  });
});

describe("an htpasswd file that is not there", () => {
  test("is made for its owner alone, with a user whose password the log is told", async () => {
    const path = join(scratch, "new/folder/htpasswd");
    const { log, lines } = readableLog();
    await provideHtpasswd(path, new CountingPasswords(), log);
    expect(lines).toHaveLength(1);
    const { user, password } = lines[0] as { user: string; password: string };
    expect(user).toBe("docker");
    expect(password.length).toBeGreaterThanOrEqual(32);
    const [name, hash = ""] = (await readFile(path, "utf8")).trim().split(":");
    expect(name).toBe("docker");
    expect(hash).toStartWith("$2b$"); // distribution and Apache understand nothing newer
    expect(await Bun.password.verify(password, hash)).toBeTrue();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  test("is not touched when it is there, and nothing is said", async () => {
    const path = join(scratch, "there");
    await writeFile(path, `alice:${BCRYPT}\n`);
    await chmod(path, 0o640);
    const { log, lines } = readableLog();
    await provideHtpasswd(path, new CountingPasswords(), log);
    expect(await readFile(path, "utf8")).toBe(`alice:${BCRYPT}\n`);
    expect(lines).toEqual([]);
  });

  test("and cannot be made, is told by the setting that names it", async () => {
    const path = join(scratch, "there/htpasswd");
    await writeFile(join(scratch, "there"), "");
    const made = provideHtpasswd(path, new CountingPasswords(), readableLog().log);
    expect(await made.then(() => "made", String)).toStartWith(
      `HtpasswdError: auth.htpasswd.path: ${path} does not exist`,
    );
  });

  test("is made by one of several that start at once", async () => {
    const path = join(scratch, "raced");
    const { log, lines } = readableLog();
    await Promise.all(Array.from({ length: 5 }, () => provideHtpasswd(path, new CountingPasswords(), log)));
    expect(lines).toHaveLength(1);
    const hash = (await readFile(path, "utf8")).trim().slice("docker:".length);
    expect(await Bun.password.verify(String(lines[0]!["password"]), hash)).toBeTrue();
  });
});
