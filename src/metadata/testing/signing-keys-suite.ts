/** The keys that the metadata keeps, by which tokens are signed. */
import { expect, test } from "bun:test";
import { Subject } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";

function key(id: string, createdAt: number): { readonly id: string; readonly jwk: string; readonly createdAt: number } {
  return { id, jwk: `{"kid":"${id}"}`, createdAt };
}

export function testSigningKeys(open: OpenMetadata): void {
  test("keys are listed as they were added, newest first", async () => {
    await using subject = await Subject.open(open);
    const keys = [key("b", 1000), key("a", 2000), key("c", 3000)];
    for (const each of keys) await subject.store.signingKeys.add(each, { unlessAfter: each.createdAt, forgetUntil: 0 });
    expect(await subject.store.signingKeys.list()).toEqual(keys.toReversed());
  });

  test("of those who add one at the same time, one does", async () => {
    await using subject = await Subject.open(open);
    const times = { unlessAfter: 500, forgetUntil: 0 };
    await Promise.all(["a", "b", "c"].map((id) => subject.store.signingKeys.add(key(id, 1000), times)));
    expect(await subject.store.signingKeys.list()).toHaveLength(1);
  });

  test("a new key takes the place of those that are too old, and no other", async () => {
    await using subject = await Subject.open(open);
    for (const at of [1000, 2000, 3000]) {
      await subject.store.signingKeys.add(key(`key ${at}`, at), { unlessAfter: at, forgetUntil: 0 });
    }
    await subject.store.signingKeys.add(key("none", 4000), { unlessAfter: 2999, forgetUntil: 2000 });
    expect(await subject.store.signingKeys.list()).toHaveLength(3);
    await subject.store.signingKeys.add(key("new", 4000), { unlessAfter: 3000, forgetUntil: 2000 });
    expect((await subject.store.signingKeys.list()).map(({ id }) => id)).toEqual(["new", "key 3000"]);
  });
}
