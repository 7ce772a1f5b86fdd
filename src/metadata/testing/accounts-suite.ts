/** What every MetadataStore must do about users and the tokens of robots. */
import { expect, test } from "bun:test";
import type { NewUser, RobotTokenFacts } from "../metadata-store.ts";
import { Subject, bytes } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const ALICE: NewUser = { name: "alice", passwordHash: "$hash", groups: ["dev", "qa"], generation: "g1" };

const TOKEN: Omit<RobotTokenFacts, "createdAt"> = {
  id: "0123456789ab",
  robot: "ci",
  secretHash: bytes("hash of a secret"),
  grants: [{ repositories: "team/**", actions: ["pull", "push"] }],
  expiresAt: 1_800_000_000_000,
};

export function testAccounts(open: OpenMetadata): void {
  test("a user is found as it was added, and only by its very name", async () => {
    await using subject = await Subject.open(open);
    const now = subject.clock.ms;
    expect(await subject.store.findUser("alice")).toBeUndefined();
    expect(await subject.store.addUser(ALICE)).toBeTrue();
    expect(await subject.store.findUser("alice")).toEqual({ ...ALICE, createdAt: now, changedAt: now });
    for (const other of ["Alice", "alic", "alice ", "%"]) expect(await subject.store.findUser(other)).toBeUndefined();
  });

  test("a user is added once, and the second one changes nothing", async () => {
    await using subject = await Subject.open(open);
    await subject.store.addUser(ALICE);
    expect(await subject.store.addUser({ ...ALICE, passwordHash: "$other", generation: "g2" })).toBeFalse();
    expect(await subject.store.findUser("alice")).toMatchObject(ALICE);
  });

  test("of a user what is changed changes, with the generation, and the rest stays", async () => {
    await using subject = await Subject.open(open);
    await subject.store.addUser(ALICE);
    const createdAt = subject.clock.ms;
    subject.clock.ms += 1000;
    expect(await subject.store.changeUser("alice", { passwordHash: "$other", generation: "g2" })).toBeTrue();
    const changed = { ...ALICE, passwordHash: "$other", generation: "g2", createdAt, changedAt: subject.clock.ms };
    expect(await subject.store.findUser("alice")).toEqual(changed);
    expect(await subject.store.changeUser("alice", { groups: [], generation: "g3" })).toBeTrue();
    expect(await subject.store.findUser("alice")).toEqual({ ...changed, groups: [], generation: "g3" });
    expect(await subject.store.changeUser("bob", { groups: ["admin"], generation: "g4" })).toBeFalse();
    expect(await subject.store.findUser("bob")).toBeUndefined();
  });

  test("a user that was removed is gone, and no other is", async () => {
    await using subject = await Subject.open(open);
    await subject.store.addUser(ALICE);
    await subject.store.addUser({ ...ALICE, name: "bob" });
    expect(await subject.store.removeUser("alice")).toBeTrue();
    expect(await subject.store.removeUser("alice")).toBeFalse();
    expect(await subject.store.findUser("alice")).toBeUndefined();
    expect(await subject.store.findUser("bob")).toBeDefined();
  });

  test("users are listed in byte order, page by page", async () => {
    await using subject = await Subject.open(open);
    for (const name of ["b", "a", "B", "ab", "_"]) await subject.store.addUser({ ...ALICE, name });
    const names = (await subject.store.users({ limit: 10 })).map(({ name }) => name);
    expect(names).toEqual(["B", "_", "a", "ab", "b"]);
    expect((await subject.store.users({ after: "_", limit: 2 })).map(({ name }) => name)).toEqual(["a", "ab"]);
  });

  test("a token of a robot is found by its id, as it was added", async () => {
    await using subject = await Subject.open(open);
    await subject.store.addRobotToken(TOKEN);
    const found = await subject.store.findRobotToken(TOKEN.id);
    expect(found).toEqual({ ...TOKEN, secretHash: expect.anything(), createdAt: subject.clock.ms });
    expect(Buffer.from(found!.secretHash)).toEqual(Buffer.from(TOKEN.secretHash));
    expect(await subject.store.findRobotToken("ba9876543210")).toBeUndefined();
  });

  test("a token that lasts for ever has no end", async () => {
    await using subject = await Subject.open(open);
    await subject.store.addRobotToken({ ...TOKEN, expiresAt: undefined });
    expect((await subject.store.findRobotToken(TOKEN.id))?.expiresAt).toBeUndefined();
  });

  test("an id stands for one token", async () => {
    await using subject = await Subject.open(open);
    await subject.store.addRobotToken(TOKEN);
    const again = subject.store.addRobotToken({ ...TOKEN, robot: "other" });
    expect(
      await again.then(
        () => "added",
        () => "refused",
      ),
    ).toBe("refused");
    expect((await subject.store.findRobotToken(TOKEN.id))?.robot).toBe("ci");
  });

  test("tokens are listed by their ids, page by page, and are removed one by one or with their robot", async () => {
    await using subject = await Subject.open(open);
    const ids = ["a1", "b2", "c3", "d4"];
    for (const id of ids) await subject.store.addRobotToken({ ...TOKEN, id, robot: id === "d4" ? "other" : "ci" });
    expect((await subject.store.robotTokens({ limit: 10 })).map(({ id }) => id)).toEqual(ids);
    expect((await subject.store.robotTokens({ after: "a1", limit: 2 })).map(({ id }) => id)).toEqual(["b2", "c3"]);
    expect(await subject.store.removeRobotToken("a1")).toBeTrue();
    expect(await subject.store.removeRobotToken("a1")).toBeFalse();
    expect(await subject.store.removeRobot("ci")).toBe(2);
    expect(await subject.store.removeRobot("ci")).toBe(0);
    expect((await subject.store.robotTokens({ limit: 10 })).map(({ id }) => id)).toEqual(["d4"]);
  });
}
