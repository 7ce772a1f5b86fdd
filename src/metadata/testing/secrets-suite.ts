/** The secrets that the metadata keeps for all processes that have it open. */
import { expect, test } from "bun:test";
import { Subject } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

export function testSecrets(open: OpenMetadata): void {
  test("a secret is made when it is first asked for, and stays", async () => {
    await using subject = await Subject.open(open);
    const made = await subject.store.secrets.get("one");
    expect(made).toHaveLength(32);
    expect(await subject.store.secrets.get("one")).toEqual(made);
    expect(await subject.store.secrets.get("another")).not.toEqual(made);
  });

  test("a secret that is asked for several times at once is the same for all", async () => {
    await using subject = await Subject.open(open);
    const secrets = await Promise.all([1, 2, 3].map(() => subject.store.secrets.get("one")));
    expect(new Set(secrets.map((each) => Buffer.from(each).toString("hex"))).size).toBe(1);
  });
}
