/** Authentication: users, robots, what is cached, and what changes at once. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { scratchFolder } from "../../test/support/scratch.ts";
import { ADDRESS, AuthSubject, outcome } from "./testing/subject.ts";
import type { Logins } from "./testing/subject.ts";
import { CountingPasswords, hashOf } from "./testing/passwords.ts";
import { reasonOf } from "./testing/verdicts.ts";
import type { Reason } from "./verifier.ts";

setDefaultTimeout(30_000);

const scratch = await scratchFolder();
let files = 0;

/** A file of users with those passwords. */
async function htpasswd(users: Readonly<Record<string, string>>): Promise<string> {
  const path = join(scratch, `htpasswd-${files++}`);
  await writeHtpasswd(path, users);
  return path;
}

async function writeHtpasswd(path: string, users: Readonly<Record<string, string>>): Promise<void> {
  const lines = await Promise.all(
    Object.entries(users).map(async ([name, password]) => `${name}:${await hashOf(password, "bcrypt")}\n`),
  );
  await writeFile(path, lines.join(""));
}

describe("a user", () => {
  test("of the database is known by name and password, with groups", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland", ["dev"]);
    const logins = subject.logins();
    const alice = await logins.login("alice", "wonderland", ADDRESS);
    expect(alice).toEqual({ kind: "user", name: "alice", groups: ["dev"], generation: expect.any(String) });
    for (const [name, password] of [
      ["alice", "Wonderland"],
      ["alice", ""],
      ["alice", "wonderland "],
      ["Alice", "wonderland"],
      ["bob", "wonderland"],
      ["", "wonderland"],
      ["alice", `wonderland${"x".repeat(5000)}`],
    ] as const) {
      expect(await outcome(logins.login(name, password, ADDRESS))).toBe("nobody");
    }
  });

  test("of an htpasswd file is known, hashed with bcrypt or argon2id", async () => {
    await using subject = await AuthSubject.open();
    const path = join(scratch, `htpasswd-${files++}`);
    const [bcrypt, argon2id] = [await hashOf("wonderland", "bcrypt"), await hashOf("looking-glass")];
    await writeFile(path, `alice:${bcrypt.replace("$2b$", "$2y$")}\nbob:${argon2id}\n`);
    const logins = subject.logins({ htpasswd: { path } });
    expect(await outcome(logins.login("alice", "wonderland", ADDRESS))).toBe("alice");
    expect(await outcome(logins.login("bob", "looking-glass", ADDRESS))).toBe("bob");
    expect(await outcome(logins.login("bob", "wonderland", ADDRESS))).toBe("nobody");
  });

  test("of both is the one of the file", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "of-database", ["admin"]);
    const logins = subject.logins({
      htpasswd: { path: await htpasswd({ alice: "of-file" }) },
      users: { enabled: true },
    });
    expect((await logins.login("alice", "of-file", ADDRESS))?.groups).toEqual([]);
    expect(await outcome(logins.login("alice", "of-database", ADDRESS))).toBe("nobody");
  });

  test("of the database is refused where users are off, and so is a robot", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const { token } = await subject.robots.create("ci", [], undefined);
    const logins = subject.logins({ htpasswd: { path: await htpasswd({ bob: "secret-1" }) } });
    expect(await outcome(logins.login("alice", "wonderland", ADDRESS))).toBe("nobody");
    expect(await outcome(logins.login("ci", token, ADDRESS))).toBe("nobody");
    expect(await logins.accounts.find?.("user", "alice")).toBeUndefined();
    expect(await logins.accounts.find?.("robot", "ci")).toBeUndefined();
  });
});

describe("a credential that was proven", () => {
  test("costs no hash for a minute, and another one after it", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins();
    for (let request = 0; request < 5; request++) await logins.login("alice", "wonderland", ADDRESS);
    expect(subject.passwords.verified).toHaveLength(1);
    subject.clock.ms += 59_999;
    await logins.login("alice", "wonderland", ADDRESS);
    expect(subject.passwords.verified).toHaveLength(1);
    subject.clock.ms += 1;
    await logins.login("alice", "wonderland", ADDRESS);
    expect(subject.passwords.verified).toHaveLength(2);
  });

  test("is remembered without waiting, and none that was not proven is", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins();
    expect(logins.cached("alice", "wonderland")).toBeUndefined();
    await logins.login("alice", "wonderland", ADDRESS);
    await logins.login("alice", "wonderland", ADDRESS);
    expect(logins.cached("alice", "wonderland")?.name).toBe("alice");
    for (const [name, password] of [
      ["alice", "wonderlan"],
      ["alicew", "onderland"],
      ["", "alicewonderland"],
      ["bob", "wonderland"],
    ] as const) {
      expect(logins.cached(name, password)).toBeUndefined();
    }
  });

  test("is not taken apart in another place: no name has a colon", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonder:land");
    const { accounts } = subject.logins();
    const reasonFor = (name: string, password: string): Promise<Reason | undefined> =>
      reasonOf(accounts.verify({ kind: "basic", name, password }, ADDRESS));
    expect(await reasonFor("alice", "wonder:land")).toBeUndefined();
    expect(await reasonFor("alice:wonder", "land")).toBe("unknown user");
  });

  test("is proven once, when it comes from twenty addresses at once", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins();
    const attempts = Array.from({ length: 20 }, (_, at) => logins.login("alice", "wonderland", `10.0.0.${at}`));
    expect((await Promise.all(attempts)).map((each) => each?.name)).toEqual(Array<string>(20).fill("alice"));
    expect(subject.passwords.verified).toHaveLength(1);
  });
});

describe("a flood of logins", () => {
  test("has few hashes computed at once, and a hundred that wait", async () => {
    await using subject = await AuthSubject.open(undefined, new CountingPasswords(3));
    const logins = subject.logins({ htpasswd: { path: await htpasswd({ alice: "wonderland" }) } });
    await logins.login("alice", "wonderland");
    const flood = Array.from({ length: 150 }, (_, at) => outcome(logins.login(`user-${at}`, "guess", `10.0.${at}.1`)));
    expect(await outcome(logins.login("alice", "wonderland"))).toBe("alice"); // alice has logged in before
    const ends = await Promise.all(flood);
    expect(ends.filter((end) => end === "nobody")).toHaveLength(103);
    expect(ends.filter((end) => end === "TOOMANYREQUESTS")).toHaveLength(47);
    expect(subject.passwords.mostConcurrent).toBe(3);
    expect(await outcome(logins.login("user-149", "guess", "10.0.149.1"))).toBe("nobody");
  });

  test("from one address does not keep out another one", async () => {
    await using subject = await AuthSubject.open(undefined, new CountingPasswords(1));
    const logins = subject.logins({ htpasswd: { path: await htpasswd({ alice: "wonderland" }) } });
    const flood = Array.from({ length: 300 }, (_, at) => outcome(logins.login(`user-${at}`, "guess", "10.0.0.1")));
    subject.passwords.verified = [];
    expect(await outcome(logins.login("alice", "wonderland", "10.0.0.2"))).toBe("alice");
    expect(subject.passwords.verified.length).toBeLessThan(10); // it did not wait for all of them
    expect(new Set(await Promise.all(flood))).toEqual(new Set(["nobody", "TOOMANYREQUESTS"]));
  });

  test("with invented names keeps out no user behind the same address who has logged in before", async () => {
    await using subject = await AuthSubject.open(undefined, new CountingPasswords(1));
    const users = Object.fromEntries(Array.from({ length: 10 }, (_, at) => [`user-${at}`, `secret-${at}`]));
    const logins = subject.logins({ htpasswd: { path: await htpasswd(users) } });
    const all = (): Promise<string[]> =>
      Promise.all(Object.entries(users).map(([name, password]) => outcome(logins.login(name, password))));
    expect(await all()).toEqual(Object.keys(users));
    for (let hour = 0; hour < 3; hour++) {
      subject.clock.ms += 3_600_000; // nothing is cached any more
      const flood = Array.from({ length: 300 }, (_, at) => outcome(logins.login(`invented-${hour}-${at}`, "guess")));
      await nextTurn(); // they wait in the queue
      expect(await all()).toEqual(Object.keys(users));
      expect(new Set(await Promise.all(flood))).toEqual(new Set(["nobody", "TOOMANYREQUESTS"]));
    }
  });
});

describe("what changes takes effect with the next request, in every process", () => {
  test("another password", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const processes = [subject.logins(), subject.logins()];
    const before = await Promise.all(processes.map((each) => each.login("alice", "wonderland", ADDRESS)));
    subject.clock.ms += 1;
    await subject.users.change("alice", { passwordHash: await hashOf("looking-glass") });
    for (const [at, each] of processes.entries()) {
      expect(await each.isCurrent(before[at]!)).toBeFalse();
      expect(each.cached("alice", "wonderland")).toBeUndefined();
      expect(await outcome(each.login("alice", "wonderland", ADDRESS))).toBe("nobody");
      const after = await each.login("alice", "looking-glass", ADDRESS);
      expect(await each.isCurrent(after!)).toBeTrue();
    }
  });

  test("other groups, with the same password", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland", ["admin"]);
    const logins = subject.logins();
    const before = await logins.login("alice", "wonderland", ADDRESS);
    subject.clock.ms += 1;
    await subject.users.change("alice", { groups: ["dev"] });
    expect(await logins.isCurrent(before!)).toBeFalse();
    expect((await logins.login("alice", "wonderland", ADDRESS))?.groups).toEqual(["dev"]);
  });

  test("a user who goes, and one of the same name who comes after", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins();
    const before = await logins.login("alice", "wonderland", ADDRESS);
    subject.clock.ms += 1;
    await subject.users.remove("alice");
    expect(await logins.isCurrent(before!)).toBeFalse();
    expect(await outcome(logins.login("alice", "wonderland", ADDRESS))).toBe("nobody");
    subject.clock.ms += 1;
    await subject.addUser("alice", "wonderland");
    expect(await logins.isCurrent(before!)).toBeFalse();
  });

  test("a line of an htpasswd file; those of others stay logged in", async () => {
    await using subject = await AuthSubject.open();
    const path = await htpasswd({ alice: "wonderland", bob: "looking-glass" });
    const logins = subject.logins({ htpasswd: { path } });
    const alice = await logins.login("alice", "wonderland", ADDRESS);
    const text = await Bun.file(path).text();
    subject.clock.ms += 1;
    await writeFile(path, `${text.split("\n")[1]}\nalice:${await hashOf("other-word", "bcrypt")}\n`);
    const bob = await logins.login("bob", "looking-glass", ADDRESS);
    expect(await logins.isCurrent(alice!)).toBeFalse();
    expect(await outcome(logins.login("alice", "wonderland", ADDRESS))).toBe("nobody");
    expect(await outcome(logins.login("alice", "other-word", ADDRESS))).toBe("alice");
    subject.clock.ms += 1;
    await writeHtpasswd(path, {});
    expect(await logins.isCurrent(bob!)).toBeFalse();
    expect(logins.cached("bob", "looking-glass")).toBeUndefined();
  });

  test("a user of the file who takes the place of one of the database", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland", ["admin"]);
    const path = await htpasswd({ bob: "looking-glass" });
    const logins = subject.logins({ htpasswd: { path }, users: { enabled: true } });
    const before = await logins.login("alice", "wonderland", ADDRESS);
    subject.clock.ms += 1;
    await writeHtpasswd(path, { alice: "of-the-file" });
    expect(await logins.isCurrent(before!)).toBeFalse();
    expect(await outcome(logins.login("alice", "wonderland", ADDRESS))).toBe("nobody");
    expect((await logins.login("alice", "of-the-file", ADDRESS))?.groups).toEqual([]);
  });

  test("a token that is revoked; the robot's other token stays", async () => {
    await using subject = await AuthSubject.open();
    const [first, second] = [
      await subject.robots.create("ci", [], undefined),
      await subject.robots.create("ci", [], undefined),
    ];
    const logins = subject.logins();
    const before = await logins.login("ci", first.token, ADDRESS);
    subject.clock.ms += 1;
    expect(await subject.robots.revoke(first.id)).toBeTrue();
    expect(await logins.isCurrent(before!)).toBeFalse();
    expect(await outcome(logins.login("ci", first.token, ADDRESS))).toBe("nobody");
    expect(await outcome(logins.login("ci", second.token, ADDRESS))).toBe("ci");
  });
});

describe("a robot", () => {
  const GRANTS = [{ repositories: "team/**", actions: ["pull", "push"] as const }];

  test("is known by its name and its token, and bound by what the token was made for", async () => {
    await using subject = await AuthSubject.open();
    const { id, token } = await subject.robots.create("ci", GRANTS, undefined);
    const logins = subject.logins();
    expect(await logins.login("ci", token, ADDRESS)).toEqual({
      kind: "robot",
      name: "ci",
      groups: [],
      bound: GRANTS,
      generation: id,
    });
    const wrong = [token.slice(0, -1), `${token}x`, token.toUpperCase(), token.replace(id, "000000000000"), "stw_", id];
    for (const password of [...wrong, `stw_${id}_${"A".repeat(43)}`]) {
      expect(await outcome(logins.login("ci", password, ADDRESS))).toBe("nobody");
    }
    expect(await outcome(logins.login("other", token, ADDRESS))).toBe("nobody");
  });

  test("is refused from the moment on when its token ends", async () => {
    await using subject = await AuthSubject.open();
    const { token } = await subject.robots.create("ci", GRANTS, subject.clock.ms + 1000);
    const logins = subject.logins();
    const robot = await logins.login("ci", token, ADDRESS);
    subject.clock.ms += 999;
    expect(await logins.isCurrent(robot!)).toBeTrue();
    subject.clock.ms += 1;
    expect(await logins.isCurrent(robot!)).toBeFalse();
    expect(logins.cached("ci", token)).toBeUndefined();
    expect(await outcome(logins.login("ci", token, ADDRESS))).toBe("nobody");
    expect(await logins.accounts.find?.("robot", "ci")).toBeUndefined();
  });

  test("is not what another one of the same id says to be", async () => {
    await using subject = await AuthSubject.open();
    const { token } = await subject.robots.create("ci", GRANTS, undefined);
    const logins = subject.logins();
    const robot = (await logins.login("ci", token, ADDRESS))!;
    expect(await logins.isCurrent({ ...robot, name: "other" })).toBeFalse();
    expect(await logins.isCurrent({ ...robot, kind: "user" })).toBeFalse();
    expect(await logins.isCurrent({ ...robot, kind: "job" })).toBeFalse();
  });

  test("leaves nothing in the database by which one could log in", async () => {
    await using subject = await AuthSubject.open();
    const { id, token } = await subject.robots.create("ci", GRANTS, undefined);
    const [kept] = await subject.robots.list();
    expect(kept).toEqual({ id, robot: "ci", grants: GRANTS, createdAt: subject.clock.ms, expiresAt: undefined });
    expect(token).toStartWith(`stw_${id}_`);
  });

  test("that is looked for by its name may do what any of its tokens may", async () => {
    await using subject = await AuthSubject.open();
    await subject.robots.create("ci", GRANTS, undefined);
    await subject.robots.create("ci", [{ repositories: "other", actions: ["pull"] }], undefined);
    const logins = subject.logins();
    expect((await logins.accounts.find?.("robot", "ci"))?.bound).toHaveLength(2);
    expect(await logins.accounts.find?.("robot", "alice")).toBeUndefined();
  });
});

describe("a name that is longer than any account's", () => {
  test("is refused, and nothing is computed or cached for it", async () => {
    await using subject = await AuthSubject.open();
    const logins = subject.logins();
    for (let guess = 0; guess < 20; guess++) {
      expect(await outcome(logins.login("x".repeat(257), "guess", ADDRESS))).toBe("nobody");
    }
    expect(subject.passwords.verified).toEqual([]);
  });
});

describe("the time that a wrong login takes", () => {
  test("is that of one hash for every name", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const path = await htpasswd({ bob: "looking-glass" });
    const logins = subject.logins({ htpasswd: { path }, users: { enabled: true } });
    for (const name of ["alice", "bob", "nobody", "nobody-else", ""]) {
      subject.passwords.verified = [];
      expect(await outcome(logins.login(name, "guess", ADDRESS))).toBe("nobody");
      expect(subject.passwords.verified).toHaveLength(1);
    }
  });

  test("is the same for the same unknown name, and among such names as varied as among users", async () => {
    await using subject = await AuthSubject.open();
    const path = await htpasswd({ bob: "looking-glass" });
    const logins = subject.logins({ htpasswd: { path }, users: { enabled: true } });
    const names = Array.from({ length: 20 }, (_, number) => `unknown-${number}`);
    const costs = async (): Promise<readonly (string | undefined)[]> => {
      subject.passwords.verified = [];
      // Each by another password and from another network, by which it can be told, and is not slowed.
      await Promise.all(names.map((name, at) => logins.login(name, name, `2001:db8:0:${at}::1`)));
      return names.map((name) => subject.passwords.verified.find(({ password }) => password === name)?.hash);
    };
    const hashes = await costs();
    expect(new Set(hashes).size).toBe(2);
    expect(await costs()).toEqual(hashes);
  });

  test("is none that a costly line of the file has, whatever name is invented", async () => {
    await using subject = await AuthSubject.open();
    const path = await htpasswd({ bob: "looking-glass" });
    const costly = (await hashOf("x")).replace("m=8,", "m=1048576,");
    await writeFile(path, `${await Bun.file(path).text()}carol:${costly}\ndave:$2y$31$${"a".repeat(53)}\n`);
    const logins = subject.logins({ htpasswd: { path } });
    for (const name of ["carol", "dave", ...Array.from({ length: 30 }, (_, number) => `unknown-${number}`)]) {
      expect(await outcome(logins.login(name, "guess", `2001:db8:0:${name.length}::1`))).toBe("nobody");
    }
    expect(new Set(subject.passwords.verified.map(({ hash }) => hash)).size).toBe(1);
    expect(subject.lines.filter(({ level }) => level === 40)).toHaveLength(2);
  });

  test("is the same for an unknown name in every process, and after a restart", async () => {
    await using subject = await AuthSubject.open();
    const settings = { htpasswd: { path: await htpasswd({ bob: "looking-glass" }) }, users: { enabled: true } };
    const hashesBy = async (logins: Logins): Promise<readonly string[]> => {
      const hashes: string[] = [];
      for (let number = 0; number < 20; number++) {
        subject.passwords.verified = [];
        await logins.login(`unknown-${number}`, "guess", `2001:db8:0:${number}::1`);
        hashes.push(subject.passwords.verified[0]?.hash ?? "");
      }
      return hashes;
    };
    const hashes = await hashesBy(subject.logins(settings));
    expect(new Set(hashes).size).toBe(2);
    expect(await hashesBy(subject.logins(settings))).toEqual(hashes);
  });

  test("refuses a guess that fits the dummy hash", async () => {
    await using subject = await AuthSubject.open();
    const path = await htpasswd({ bob: "looking-glass" });
    const logins = subject.logins({ htpasswd: { path } });
    expect(await outcome(logins.login("nobody", "looking-glass", ADDRESS))).toBe("nobody");
    expect(await Bun.password.verify("looking-glass", subject.passwords.verified[0]!.hash)).toBeTrue();
  });
});

describe("a client that guesses", () => {
  test("does not lock out the right password, which gets in within a second, also from the same address", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins();
    for (let guess = 0; guess < 10; guess++) {
      expect(await outcome(logins.login("alice", `guess ${guess}`))).toBe("nobody");
    }
    subject.passwords.verified = [];
    expect(await logins.outcomeOf("alice", "guess")).toMatchObject({
      kind: "rejected",
      name: "alice",
      reason: "throttled",
      refusal: { code: "TOOMANYREQUESTS", status: 429, retryAfterSeconds: 1 },
    });
    expect(subject.passwords.verified).toEqual([]);
    expect(await outcome(logins.login("alice", "wonderland", "198.51.100.7"))).toBe("alice");
    subject.clock.ms += 1000;
    expect(await outcome(logins.login("alice", "wonderland"))).toBe("alice");
  });

  test("does not slow a client whose credentials were good within the hour", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins();
    await logins.login("alice", "wonderland");
    subject.clock.ms += 3_599_000;
    for (let guess = 0; guess < 12; guess++) await outcome(logins.login("alice", `guess ${guess}`));
    expect(await outcome(logins.login("alice", "guess"))).toBe("TOOMANYREQUESTS");
    expect(await outcome(logins.login("alice", "wonderland"))).toBe("alice");
  });

  test("is slowed for passwords alone: a client with a stale token keeps out no user, wherever it is", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const { token } = await subject.robots.create("ci", [], undefined);
    const logins = subject.logins();
    for (let number = 0; number < 100; number++) {
      expect(await outcome(logins.login("ci", `stw_stale-${number}`))).toBe("nobody");
    }
    expect(await outcome(logins.login("ci", token))).toBe("ci");
    expect(await outcome(logins.login("alice", "wonderland"))).toBe("alice");
  });

  test("is not forgotten because of tokens that are made up meanwhile", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const logins = subject.logins();
    for (let guess = 0; guess < 10; guess++) await outcome(logins.login("alice", `${guess}`));
    for (let number = 0; number < 31_000; number++) await outcome(logins.login(`made-up-${number}`, "stw_made-up"));
    expect(await outcome(logins.login("alice", "guess"))).toBe("TOOMANYREQUESTS");
  });
});

describe("credentials that are not good", () => {
  test("have a reason, for the log", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const { token } = await subject.robots.create("ci", [], subject.clock.ms + 1000);
    const logins = subject.logins();
    const reasonFor = async (name: string, password: string): Promise<string> => {
      const outcome_ = await logins.outcomeOf(name, password);
      return outcome_.kind === "rejected" ? outcome_.reason : "none";
    };
    expect(await reasonFor("alice", "guess")).toBe("wrong password");
    expect(await reasonFor("bob", "wonderland")).toBe("unknown user");
    expect(await reasonFor("ci", token.slice(0, -1))).toBe("malformed");
    expect(await reasonFor("ci", `${token.slice(0, -4)}AAAA`)).toBe("unknown token");
    expect(await reasonFor("other", token)).toBe("other robot");
    subject.clock.ms += 1000;
    expect(await reasonFor("ci", token)).toBe("expired");
  });
});
