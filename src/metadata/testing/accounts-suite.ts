/** What the metadata must do about users and the tokens of robots. */
import { expect, test } from "bun:test";
import type { NewUser } from "../accounts.ts";
import type { RobotTokenRecord } from "../robot-tokens.ts";
import { Subject, bytes } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

const ALICE: NewUser = { name: "alice", passwordHash: "$hash", groups: ["dev", "qa"], generation: "g1" };

const TOKEN: Omit<RobotTokenRecord, "createdAt"> = {
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
    expect(await subject.store.accounts.find("alice")).toBeUndefined();
    expect(await subject.store.accounts.add(ALICE)).toBeTrue();
    expect(await subject.store.accounts.find("alice")).toEqual({ ...ALICE, createdAt: now, changedAt: now });
    for (const other of ["Alice", "alic", "alice ", "%"])
      expect(await subject.store.accounts.find(other)).toBeUndefined();
  });

  test("a user is added once, and the second one changes nothing", async () => {
    await using subject = await Subject.open(open);
    await subject.store.accounts.add(ALICE);
    expect(await subject.store.accounts.add({ ...ALICE, passwordHash: "$other", generation: "g2" })).toBeFalse();
    expect(await subject.store.accounts.find("alice")).toMatchObject(ALICE);
  });

  test("of a user what is changed changes, with the generation, and the rest stays", async () => {
    await using subject = await Subject.open(open);
    await subject.store.accounts.add(ALICE);
    const createdAt = subject.clock.ms;
    subject.clock.ms += 1000;
    expect(await subject.store.accounts.change("alice", { passwordHash: "$other", generation: "g2" })).toBeTrue();
    const changed = { ...ALICE, passwordHash: "$other", generation: "g2", createdAt, changedAt: subject.clock.ms };
    expect(await subject.store.accounts.find("alice")).toEqual(changed);
    expect(await subject.store.accounts.change("alice", { groups: [], generation: "g3" })).toBeTrue();
    expect(await subject.store.accounts.find("alice")).toEqual({ ...changed, groups: [], generation: "g3" });
    expect(await subject.store.accounts.change("bob", { groups: ["admin"], generation: "g4" })).toBeFalse();
    expect(await subject.store.accounts.find("bob")).toBeUndefined();
  });

  test("a user that was removed is gone, and no other is", async () => {
    await using subject = await Subject.open(open);
    await subject.store.accounts.add(ALICE);
    await subject.store.accounts.add({ ...ALICE, name: "bob" });
    expect(await subject.store.accounts.remove("alice")).toBeTrue();
    expect(await subject.store.accounts.remove("alice")).toBeFalse();
    expect(await subject.store.accounts.find("alice")).toBeUndefined();
    expect(await subject.store.accounts.find("bob")).toBeDefined();
  });

  test("users are listed in byte order, page by page", async () => {
    await using subject = await Subject.open(open);
    for (const name of ["b", "a", "B", "ab", "_"]) await subject.store.accounts.add({ ...ALICE, name });
    const names = (await subject.store.accounts.list({ limit: 10 })).map(({ name }) => name);
    expect(names).toEqual(["B", "_", "a", "ab", "b"]);
    expect((await subject.store.accounts.list({ after: "_", limit: 2 })).map(({ name }) => name)).toEqual(["a", "ab"]);
  });

  test("a token of a robot is found by its id, as it was added", async () => {
    await using subject = await Subject.open(open);
    await subject.store.robotTokens.add(TOKEN);
    const found = await subject.store.robotTokens.find(TOKEN.id);
    expect(found).toEqual({ ...TOKEN, secretHash: expect.anything(), createdAt: subject.clock.ms });
    expect(Buffer.from(found!.secretHash)).toEqual(Buffer.from(TOKEN.secretHash));
    expect(await subject.store.robotTokens.find("ba9876543210")).toBeUndefined();
  });

  test("a token that lasts for ever has no end", async () => {
    await using subject = await Subject.open(open);
    await subject.store.robotTokens.add({ ...TOKEN, expiresAt: undefined });
    expect((await subject.store.robotTokens.find(TOKEN.id))?.expiresAt).toBeUndefined();
  });

  test("an id stands for one token", async () => {
    await using subject = await Subject.open(open);
    await subject.store.robotTokens.add(TOKEN);
    const again = subject.store.robotTokens.add({ ...TOKEN, robot: "other" });
    expect(
      await again.then(
        () => "added",
        () => "refused",
      ),
    ).toBe("refused");
    expect((await subject.store.robotTokens.find(TOKEN.id))?.robot).toBe("ci");
  });

  test("tokens are listed by their ids, page by page, and are removed one by one or with their robot", async () => {
    await using subject = await Subject.open(open);
    const ids = ["a1", "b2", "c3", "d4"];
    for (const id of ids) await subject.store.robotTokens.add({ ...TOKEN, id, robot: id === "d4" ? "other" : "ci" });
    expect((await subject.store.robotTokens.list({ limit: 10 })).map(({ id }) => id)).toEqual(ids);
    expect((await subject.store.robotTokens.list({ after: "a1", limit: 2 })).map(({ id }) => id)).toEqual(["b2", "c3"]);
    expect(await subject.store.robotTokens.remove("a1")).toBeTrue();
    expect(await subject.store.robotTokens.remove("a1")).toBeFalse();
    expect(await subject.store.robotTokens.removeAllOf("ci")).toBe(2);
    expect(await subject.store.robotTokens.removeAllOf("ci")).toBe(0);
    expect((await subject.store.robotTokens.list({ limit: 10 })).map(({ id }) => id)).toEqual(["d4"]);
  });
}
