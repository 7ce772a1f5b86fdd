/** The promises of a registry, whatever it keeps its data in. One file for each of its nouns. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { parseRepositoryName, repositoryName } from "../../oci/repository-name.ts";
import { GlobalScope } from "../scope.ts";
import { testBlobs } from "./blobs-suite.ts";
import { APP, OTHER, pushImage } from "./contract-subject.ts";
import type { OpenContract } from "./contract-subject.ts";
import { testFiles } from "./files-suite.ts";
import { testFixedTags } from "./immutable-tags-suite.ts";
import { testManifests } from "./manifests-suite.ts";
import { testPins } from "./pins-suite.ts";
import { testRegistryModel } from "./registry-model-suite.ts";
import { testSignatures } from "./signatures-suite.ts";
import { testTags } from "./tags-suite.ts";
import { testUploadModel } from "./upload-model-suite.ts";
import { testUploads } from "./uploads-suite.ts";
import { testWriters } from "./writers-suite.ts";

/** What the subjects keep their data in. */
export interface ContractTraits {
  /** Whether blobs beyond the limit lie in files, which a test can corrupt. */
  readonly files: boolean;
}

export function contractSuite(name: string, open: OpenContract, traits: ContractTraits): void {
  bytesSuite(name, open, traits);
  describe(`${name}: namespace`, () => {
    testNamespace(open);
  });
  describe(`${name}: manifests`, () => {
    testManifests(open);
  });
  describe(`${name}: tags`, () => {
    testTags(open);
  });
  describe(`${name}: tags that stay`, () => {
    testFixedTags(open);
  });
  describe(`${name}: signatures`, () => {
    testSignatures(open);
  });
  describe(`${name}: pins`, () => {
    testPins(open);
  });
}

/** The part of it that depends on where the bytes of blobs are kept. */
export function bytesSuite(name: string, open: OpenContract, { files }: ContractTraits): void {
  describe(`${name}: blobs`, () => {
    testBlobs(open);
  });
  describe(`${name}: uploads`, () => {
    testUploads(open);
  });
  describe(`${name}: writers`, () => {
    testWriters(open);
    testUploadModel(open);
  });
  describe(`${name}: all of it`, () => {
    testRegistryModel(open);
  });
  if (!files) return;
  describe(`${name}: harmed files`, () => {
    testFiles(open);
  });
}

function testNamespace(open: OpenContract): void {
  test("the global scope contains every name, and is the scope of what is stored here", async () => {
    await using subject = await open();
    expect(subject.namespace.scope).toBe(GlobalScope);
    const part = fc.stringMatching(/^[a-z0-9]{1,9}$/);
    const name = fc.array(part, { minLength: 1, maxLength: 5 }).map((parts) => repositoryName(parts.join("/")));
    fc.assert(fc.property(name, (each) => expect(subject.namespace.scope.contains(each)).toBe(true)));
  });

  test("a repository can be referred to before anything is in it", async () => {
    await using subject = await open();
    const repository = subject.namespace.repository(APP);
    expect(repository.name).toBe(APP);
    expect(await repository.exists()).toBe(false);
    await repository.blobs.upload();
    expect(await repository.exists()).toBe(true);
    expect(await subject.namespace.repository(OTHER).exists()).toBe(false);
  });

  test("what one reference does another sees", async () => {
    await using subject = await open();
    const digest = await pushImage(subject.namespace.repository(APP), 1);
    expect(await subject.namespace.repository(APP).manifests.exists(digest)).toBe(true);
    expect(await (await subject.another()).repository(APP).manifests.exists(digest)).toBe(true);
  });

  test("repositories with a manifest are listed in byte order, from any place on", async () => {
    await using subject = await open();
    const { namespace } = subject;
    const names = ["b", "a/b", "a-b", "a", "blobs", "a/manifests/b"];
    for (const name of names) await pushImage(namespace.repository(repositoryName(name)), 1);
    await namespace.repository(repositoryName("an/upload/only")).blobs.upload();
    const list = async (from?: Parameters<typeof namespace.repositories>[0]): Promise<string[]> =>
      await Array.fromAsync(namespace.repositories(from));
    expect(await list()).toEqual(["a", "a-b", "a/b", "a/manifests/b", "b", "blobs"]);
    expect(await list({ after: "a/a" })).toEqual(["a/b", "a/manifests/b", "b", "blobs"]);
    expect(await list({ after: "a", limit: 2 })).toEqual(["a-b", "a/b"]);
    expect(await list({ limit: 0 })).toEqual([]);
  });

  test("a name that is none never becomes a repository", () => {
    for (const text of ["", "A", "a//b", "../etc", "a/", "-a", "a".repeat(256)]) {
      expect(parseRepositoryName(text)).toBeUndefined();
    }
  });

  test("a registry that is well says so", async () => {
    await using subject = await open();
    expect(await subject.namespace.checkReady()).toBeUndefined();
  });
}
