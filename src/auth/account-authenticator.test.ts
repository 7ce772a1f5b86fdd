/** Who somebody is: users, robots, what is remembered, and what changes at once. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { scratchFolder } from "../../test/support/scratch.ts";
import { ADDRESS, AuthSubject, outcome } from "./testing/subject.ts";
import { hashOf } from "./testing/passwords.ts";
import { basicCredentials } from "./verified-credentials.ts";

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
    const authenticator = subject.authenticator();
    const alice = await authenticator.authenticate("alice", "wonderland", ADDRESS);
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
      expect(await outcome(authenticator.authenticate(name, password, ADDRESS))).toBe("nobody");
    }
  });

  test("of an htpasswd file is known, hashed with bcrypt or argon2id", async () => {
    await using subject = await AuthSubject.open();
    const path = join(scratch, `htpasswd-${files++}`);
    const [bcrypt, argon2id] = [await hashOf("wonderland", "bcrypt"), await hashOf("looking-glass")];
    await writeFile(path, `alice:${bcrypt.replace("$2b$", "$2y$")}\nbob:${argon2id}\n`);
    const authenticator = subject.authenticator({ htpasswd: { path } });
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("alice");
    expect(await outcome(authenticator.authenticate("bob", "looking-glass", ADDRESS))).toBe("bob");
    expect(await outcome(authenticator.authenticate("bob", "wonderland", ADDRESS))).toBe("nobody");
  });

  test("of both is the one of the file", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "of-database", ["admin"]);
    const authenticator = subject.authenticator({
      htpasswd: { path: await htpasswd({ alice: "of-file" }) },
      users: { enabled: true },
    });
    expect((await authenticator.authenticate("alice", "of-file", ADDRESS))?.groups).toEqual([]);
    expect(await outcome(authenticator.authenticate("alice", "of-database", ADDRESS))).toBe("nobody");
  });

  test("of the database is nobody where users are off, and so is a robot", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const { token } = await subject.robots.create("ci", [], undefined);
    const authenticator = subject.authenticator({ htpasswd: { path: await htpasswd({ bob: "secret-1" }) } });
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("nobody");
    expect(await outcome(authenticator.authenticate("ci", token, ADDRESS))).toBe("nobody");
    expect(await authenticator.find("user", "alice")).toBeUndefined();
    expect(await authenticator.find("robot", "ci")).toBeUndefined();
  });
});

describe("a credential that was proven", () => {
  test("costs no hash for a minute, and another one after it", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const authenticator = subject.authenticator();
    for (let request = 0; request < 5; request++) await authenticator.authenticate("alice", "wonderland", ADDRESS);
    expect(subject.passwords.verified).toHaveLength(1);
    subject.clock.ms += 59_999;
    await authenticator.authenticate("alice", "wonderland", ADDRESS);
    expect(subject.passwords.verified).toHaveLength(1);
    subject.clock.ms += 1;
    await authenticator.authenticate("alice", "wonderland", ADDRESS);
    expect(subject.passwords.verified).toHaveLength(2);
  });

  test("is remembered without waiting, and none that was not proven is", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const authenticator = subject.authenticator();
    expect(authenticator.remembered(basicCredentials("alice", "wonderland"))).toBeUndefined();
    await authenticator.authenticate("alice", "wonderland", ADDRESS);
    await authenticator.authenticate("alice", "wonderland", ADDRESS);
    expect(authenticator.remembered(basicCredentials("alice", "wonderland"))?.name).toBe("alice");
    for (const [name, password] of [
      ["alice", "wonderlan"],
      ["alicew", "onderland"],
      ["", "alicewonderland"],
      ["bob", "wonderland"],
    ] as const) {
      expect(authenticator.remembered(basicCredentials(name, password))).toBeUndefined();
    }
  });

  test("is not taken apart in another place: no name has a colon", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonder:land");
    const authenticator = subject.authenticator();
    expect(await outcome(authenticator.authenticate("alice", "wonder:land", ADDRESS))).toBe("alice");
    expect(await outcome(authenticator.authenticate("alice:wonder", "land", ADDRESS))).toBe("nobody");
  });

  test("is proven once, when it comes from twenty addresses at once", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const authenticator = subject.authenticator();
    const attempts = Array.from({ length: 20 }, (_, at) =>
      authenticator.authenticate("alice", "wonderland", `10.0.0.${at}`),
    );
    expect((await Promise.all(attempts)).map((each) => each?.name)).toEqual(Array<string>(20).fill("alice"));
    expect(subject.passwords.verified).toHaveLength(1);
  });
});

describe("of a flood of logins", () => {
  test("a hundred are tried at once, and whoever was let in before does not notice", async () => {
    await using subject = await AuthSubject.open();
    const authenticator = subject.authenticator({ htpasswd: { path: await htpasswd({ alice: "wonderland" }) } });
    await authenticator.authenticate("alice", "wonderland", ADDRESS);
    const flood = Array.from({ length: 150 }, (_, at) =>
      outcome(authenticator.authenticate(`user-${at}`, "guess", `10.0.${at}.1`)),
    );
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("alice");
    const ends = await Promise.all(flood);
    expect(ends.filter((end) => end === "nobody")).toHaveLength(100);
    expect(ends.filter((end) => end === "TOOMANYREQUESTS")).toHaveLength(50);
    expect(await outcome(authenticator.authenticate("user-149", "guess", "10.0.149.1"))).toBe("nobody");
  });
});

describe("what changes takes effect with the next request, in every process", () => {
  test("another password", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const processes = [subject.authenticator(), subject.authenticator()];
    const before = await Promise.all(processes.map((each) => each.authenticate("alice", "wonderland", ADDRESS)));
    subject.clock.ms += 1;
    await subject.users.change("alice", { passwordHash: await hashOf("looking-glass") });
    for (const [at, each] of processes.entries()) {
      expect(await each.isCurrent(before[at]!)).toBeFalse();
      expect(each.remembered(basicCredentials("alice", "wonderland"))).toBeUndefined();
      expect(await outcome(each.authenticate("alice", "wonderland", ADDRESS))).toBe("nobody");
      const after = await each.authenticate("alice", "looking-glass", ADDRESS);
      expect(await each.isCurrent(after!)).toBeTrue();
    }
  });

  test("other groups, with the same password", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland", ["admin"]);
    const authenticator = subject.authenticator();
    const before = await authenticator.authenticate("alice", "wonderland", ADDRESS);
    subject.clock.ms += 1;
    await subject.users.change("alice", { groups: ["dev"] });
    expect(await authenticator.isCurrent(before!)).toBeFalse();
    expect((await authenticator.authenticate("alice", "wonderland", ADDRESS))?.groups).toEqual(["dev"]);
  });

  test("a user who goes, and one of the same name who comes after", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const authenticator = subject.authenticator();
    const before = await authenticator.authenticate("alice", "wonderland", ADDRESS);
    subject.clock.ms += 1;
    await subject.users.remove("alice");
    expect(await authenticator.isCurrent(before!)).toBeFalse();
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("nobody");
    subject.clock.ms += 1;
    await subject.addUser("alice", "wonderland");
    expect(await authenticator.isCurrent(before!)).toBeFalse();
  });

  test("a line of an htpasswd file; those of others stay logged in", async () => {
    await using subject = await AuthSubject.open();
    const path = await htpasswd({ alice: "wonderland", bob: "looking-glass" });
    const authenticator = subject.authenticator({ htpasswd: { path } });
    const alice = await authenticator.authenticate("alice", "wonderland", ADDRESS);
    const text = await Bun.file(path).text();
    subject.clock.ms += 1;
    await writeFile(path, `${text.split("\n")[1]}\nalice:${await hashOf("other-word", "bcrypt")}\n`);
    const bob = await authenticator.authenticate("bob", "looking-glass", ADDRESS);
    expect(await authenticator.isCurrent(alice!)).toBeFalse();
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("nobody");
    expect(await outcome(authenticator.authenticate("alice", "other-word", ADDRESS))).toBe("alice");
    subject.clock.ms += 1;
    await writeHtpasswd(path, {});
    expect(await authenticator.isCurrent(bob!)).toBeFalse();
    expect(authenticator.remembered(basicCredentials("bob", "looking-glass"))).toBeUndefined();
  });

  test("a user of the file who takes the place of one of the database", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland", ["admin"]);
    const path = await htpasswd({ bob: "looking-glass" });
    const authenticator = subject.authenticator({ htpasswd: { path }, users: { enabled: true } });
    const before = await authenticator.authenticate("alice", "wonderland", ADDRESS);
    subject.clock.ms += 1;
    await writeHtpasswd(path, { alice: "of-the-file" });
    expect(await authenticator.isCurrent(before!)).toBeFalse();
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("nobody");
    expect((await authenticator.authenticate("alice", "of-the-file", ADDRESS))?.groups).toEqual([]);
  });

  test("a token that is revoked; the robot's other token stays", async () => {
    await using subject = await AuthSubject.open();
    const [first, second] = [
      await subject.robots.create("ci", [], undefined),
      await subject.robots.create("ci", [], undefined),
    ];
    const authenticator = subject.authenticator();
    const before = await authenticator.authenticate("ci", first.token, ADDRESS);
    subject.clock.ms += 1;
    expect(await subject.robots.revoke(first.id)).toBeTrue();
    expect(await authenticator.isCurrent(before!)).toBeFalse();
    expect(await outcome(authenticator.authenticate("ci", first.token, ADDRESS))).toBe("nobody");
    expect(await outcome(authenticator.authenticate("ci", second.token, ADDRESS))).toBe("ci");
  });
});

describe("a robot", () => {
  const GRANTS = [{ repositories: "team/**", actions: ["pull", "push"] as const }];

  test("is known by its name and its token, and bound by what the token was made for", async () => {
    await using subject = await AuthSubject.open();
    const { id, token } = await subject.robots.create("ci", GRANTS, undefined);
    const authenticator = subject.authenticator();
    expect(await authenticator.authenticate("ci", token, ADDRESS)).toEqual({
      kind: "robot",
      name: "ci",
      groups: [],
      bound: GRANTS,
      generation: id,
    });
    const wrong = [token.slice(0, -1), `${token}x`, token.toUpperCase(), token.replace(id, "000000000000"), "stw_", id];
    for (const password of [...wrong, `stw_${id}_${"A".repeat(43)}`]) {
      expect(await outcome(authenticator.authenticate("ci", password, ADDRESS))).toBe("nobody");
    }
    expect(await outcome(authenticator.authenticate("other", token, ADDRESS))).toBe("nobody");
  });

  test("is nobody from the moment on when its token ends", async () => {
    await using subject = await AuthSubject.open();
    const { token } = await subject.robots.create("ci", GRANTS, subject.clock.ms + 1000);
    const authenticator = subject.authenticator();
    const robot = await authenticator.authenticate("ci", token, ADDRESS);
    subject.clock.ms += 999;
    expect(await authenticator.isCurrent(robot!)).toBeTrue();
    subject.clock.ms += 1;
    expect(await authenticator.isCurrent(robot!)).toBeFalse();
    expect(authenticator.remembered(basicCredentials("ci", token))).toBeUndefined();
    expect(await outcome(authenticator.authenticate("ci", token, ADDRESS))).toBe("nobody");
    expect(await authenticator.find("robot", "ci")).toBeUndefined();
  });

  test("is not what another one of the same id says to be", async () => {
    await using subject = await AuthSubject.open();
    const { token } = await subject.robots.create("ci", GRANTS, undefined);
    const authenticator = subject.authenticator();
    const robot = (await authenticator.authenticate("ci", token, ADDRESS))!;
    expect(await authenticator.isCurrent({ ...robot, name: "other" })).toBeFalse();
    expect(await authenticator.isCurrent({ ...robot, kind: "user" })).toBeFalse();
    expect(await authenticator.isCurrent({ ...robot, kind: "job" })).toBeFalse();
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
    const authenticator = subject.authenticator();
    expect((await authenticator.find("robot", "ci"))?.bound).toHaveLength(2);
    expect(await authenticator.find("robot", "alice")).toBeUndefined();
  });
});

describe("a name that is longer than any account's", () => {
  test("is nobody's, and nothing is computed or remembered for it", async () => {
    await using subject = await AuthSubject.open();
    const authenticator = subject.authenticator();
    for (let guess = 0; guess < 20; guess++) {
      expect(await outcome(authenticator.authenticate("x".repeat(257), "guess", ADDRESS))).toBe("nobody");
    }
    expect(subject.passwords.verified).toEqual([]);
  });
});

describe("the time that a wrong login takes", () => {
  test("is that of one hash, whoever it is", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const path = await htpasswd({ bob: "looking-glass" });
    const authenticator = subject.authenticator({ htpasswd: { path }, users: { enabled: true } });
    for (const name of ["alice", "bob", "nobody", "nobody-else", ""]) {
      subject.passwords.verified = [];
      expect(await outcome(authenticator.authenticate(name, "guess", ADDRESS))).toBe("nobody");
      expect(subject.passwords.verified).toHaveLength(1);
    }
  });

  test("is the same for the same unknown name, and among such names as varied as among users", async () => {
    await using subject = await AuthSubject.open();
    const path = await htpasswd({ bob: "looking-glass" });
    const authenticator = subject.authenticator({ htpasswd: { path }, users: { enabled: true } });
    const names = Array.from({ length: 20 }, (_, number) => `unknown-${number}`);
    const costs = async (): Promise<readonly (string | undefined)[]> => {
      subject.passwords.verified = [];
      // Each by another password and from another network, by which it can be told, and is not slowed.
      await Promise.all(names.map((name, at) => authenticator.authenticate(name, name, `2001:db8:0:${at}::1`)));
      return names.map((name) => subject.passwords.verified.find(({ password }) => password === name)?.hash);
    };
    const hashes = await costs();
    expect(new Set(hashes).size).toBe(2);
    expect(await costs()).toEqual(hashes);
  });

  test("does not let somebody in whose guess fits the hash that stands for nobody", async () => {
    await using subject = await AuthSubject.open();
    const path = await htpasswd({ bob: "looking-glass" });
    const authenticator = subject.authenticator({ htpasswd: { path } });
    expect(await outcome(authenticator.authenticate("nobody", "looking-glass", ADDRESS))).toBe("nobody");
    expect(await Bun.password.verify("looking-glass", subject.passwords.verified[0]!.hash)).toBeTrue();
  });
});

describe("whoever guesses", () => {
  test("is refused after ten wrong passwords for an account, the right one too, and let in some time later", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const authenticator = subject.authenticator();
    for (let guess = 0; guess < 10; guess++) {
      expect(await outcome(authenticator.authenticate("alice", `guess ${guess}`, ADDRESS))).toBe("nobody");
    }
    subject.passwords.verified = [];
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("TOOMANYREQUESTS");
    expect(subject.passwords.verified).toEqual([]);
    expect(await outcome(authenticator.authenticate("alice", "wonderland", "198.51.100.7"))).toBe("alice");
    subject.clock.ms += 10_000;
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("alice");
  });

  test("does not shut out a client that was just let in", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const authenticator = subject.authenticator();
    await authenticator.authenticate("alice", "wonderland", ADDRESS);
    for (let guess = 0; guess < 12; guess++)
      await outcome(authenticator.authenticate("alice", `guess ${guess}`, ADDRESS));
    expect(await outcome(authenticator.authenticate("alice", "guess", ADDRESS))).toBe("TOOMANYREQUESTS");
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("alice");
  });

  test("is slowed for passwords alone: who has a stale token keeps out nobody, wherever they are", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const { token } = await subject.robots.create("ci", [], undefined);
    const authenticator = subject.authenticator();
    for (let number = 0; number < 100; number++) {
      expect(await outcome(authenticator.authenticate("ci", `stw_stale-${number}`, ADDRESS))).toBe("nobody");
    }
    expect(await outcome(authenticator.authenticate("ci", token, ADDRESS))).toBe("ci");
    expect(await outcome(authenticator.authenticate("alice", "wonderland", ADDRESS))).toBe("alice");
  });

  test("is not forgotten because of tokens that are made up meanwhile", async () => {
    await using subject = await AuthSubject.open();
    await subject.addUser("alice", "wonderland");
    const authenticator = subject.authenticator();
    for (let guess = 0; guess < 10; guess++) await outcome(authenticator.authenticate("alice", `${guess}`, ADDRESS));
    for (let number = 0; number < 31_000; number++) {
      await outcome(authenticator.authenticate(`made-up-${number}`, "stw_made-up", ADDRESS));
    }
    expect(await outcome(authenticator.authenticate("alice", "guess", ADDRESS))).toBe("TOOMANYREQUESTS");
  });
});
