/** Signatures that are kept beside a manifest. */
import { expect, test } from "bun:test";
import { digestOf } from "../../oci/digest.ts";
import type { Signature } from "../../oci/signature.ts";
import { APP, OTHER, bytes, pushImage, refusalOf } from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";

const [FIRST, SECOND, EMPTY] = [bytes("first signature"), bytes("second signature"), new Uint8Array()];

export function testSignatures(open: OpenContract): void {
  test("signatures are added one by one or several at once", async () => {
    await using subject = await open();
    const { signatures, ...repository } = subject.namespace.repository(APP);
    const digest = await pushImage(subject.namespace.repository(APP), 1);
    expect(repository.name).toBe(APP);
    expect(await signatures.get(digest)).toEqual([]);
    await signatures.put(digest, FIRST);
    await signatures.put(digest, SECOND, EMPTY);
    expect(sorted(await signatures.get(digest))).toEqual(sorted([FIRST, SECOND, EMPTY]));
  });

  test("the same signature is kept once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    await repository.signatures.put(digest, FIRST, FIRST);
    await repository.signatures.put(digest, FIRST, SECOND);
    await repository.signatures.put(digest);
    expect(sorted(await repository.signatures.get(digest))).toEqual(sorted([FIRST, SECOND]));
  });

  test("concurrent calls that add the same signature all succeed, and it is kept once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    const calls = [[FIRST], [FIRST, SECOND], [FIRST], [SECOND]];
    await Promise.all(calls.map((contents) => repository.signatures.put(digest, ...contents)));
    expect(sorted(await repository.signatures.get(digest))).toEqual(sorted([FIRST, SECOND]));
  });

  test("signing changes neither the manifest nor its digest, and belongs to one repository", async () => {
    await using subject = await open();
    const [here, there] = [subject.namespace.repository(APP), subject.namespace.repository(OTHER)];
    const digest = await pushImage(here, 1);
    await pushImage(there, 1);
    const before = await here.manifests.find(digest);
    await here.signatures.put(digest, FIRST);
    expect(await here.manifests.find(digest)).toEqual(before);
    expect(await there.signatures.get(digest)).toEqual([]);
  });

  test("one that comes under a name of its own takes that name once", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    const named = (id: string, content: Uint8Array): Signature => ({ name: `${digest}@${id}`, content });
    await repository.signatures.add(digest, named("b", FIRST));
    await repository.signatures.add(digest, named("a", SECOND));
    expect(await refusalOf(repository.signatures.add(digest, named("a", FIRST)))).toBe("SIGNATURE_EXISTS 409");
    expect(await repository.signatures.list(digest)).toEqual([named("a", SECOND), named("b", FIRST)]);
  });

  test("all of them together are no more than a client reads", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    const megabytes = [1, 2].map((byte) => new Uint8Array(1024 * 1024).fill(byte));
    await repository.signatures.put(digest, ...megabytes);
    expect(await refusalOf(repository.signatures.put(digest, FIRST))).toBe("SIGNATURE_INVALID 413");
    expect(await repository.signatures.get(digest)).toHaveLength(2);
  });

  test("what is not here cannot be signed and has no signatures", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const absent = digestOf(bytes("absent"));
    expect(await repository.signatures.get(absent)).toEqual([]);
    expect(await refusalOf(repository.signatures.put(absent, FIRST))).toBe("MANIFEST_UNKNOWN 404");
    await pushImage(repository, 1);
    expect(await refusalOf(repository.signatures.put(absent, FIRST))).toBe("MANIFEST_UNKNOWN 404");
  });

  test("signatures go with their manifest", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    const digest = await pushImage(repository, 1);
    await repository.signatures.put(digest, FIRST);
    await repository.manifests.delete(digest);
    await pushImage(repository, 1);
    expect(await repository.signatures.get(digest)).toEqual([]);
  });
}

function sorted(contents: readonly Uint8Array[]): string[] {
  return contents.map((content) => Buffer.from(content).toString("hex")).toSorted();
}
