/** Manifests that are kept on purpose. What a pin holds back is told in `gc/manifests.test.ts`. */
import { expect, test } from "bun:test";
import { collect } from "../../lib/collect.ts";
import { digestOf } from "../../oci/digest.ts";
import { APP, OTHER, bytes, pushImage, refusalOf } from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

export function testPins(open: OpenContract): void {
  test("what is pinned is listed with its reason, in the order of the digests", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digests = [await pushImage(repository, 1), await pushImage(repository, 2), await pushImage(repository, 3)];
    for (const digest of digests) await repository.pins.add(digest, `because of ${digest}`);
    const expected = digests.toSorted().map((digest) => ({ digest, why: `because of ${digest}` }));
    expect(await collect(repository.pins.list())).toEqual(expected);
    expect(await collect(repository.pins.list({ after: expected[0]?.digest ?? "", limit: 1 }))).toEqual([expected[1]!]);
    expect(await collect(subject.namespace.repository(OTHER).pins.list())).toEqual([]);
  });

  test("a second reason stands in for the first", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    await repository.pins.add(digest, "first");
    await repository.pins.add(digest, "second");
    expect(await collect(repository.pins.list())).toEqual([{ digest, why: "second" }]);
  });

  test("a pin is taken away once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    expect(await repository.pins.remove(digest)).toBe(false);
    await repository.pins.add(digest, "for now");
    expect(await repository.pins.remove(digest)).toBe(true);
    expect(await repository.pins.remove(digest)).toBe(false);
    expect(await collect(repository.pins.list())).toEqual([]);
  });

  test("what is not here cannot be pinned", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const absent = digestOf(bytes("absent"));
    expect(await refusalOf(repository.pins.add(absent, "why"))).toBe("MANIFEST_UNKNOWN 404");
    await pushImage(repository, 1);
    expect(await refusalOf(repository.pins.add(absent, "why"))).toBe("MANIFEST_UNKNOWN 404");
    expect(await repository.pins.remove(absent)).toBe(false);
  });

  test("a client that deletes deletes a pinned manifest too, and its pin", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    await repository.pins.add(digest, "why");
    await repository.manifests.delete(digest);
    await pushImage(repository, 1);
    expect(await collect(repository.pins.list())).toEqual([]);
  });
}
