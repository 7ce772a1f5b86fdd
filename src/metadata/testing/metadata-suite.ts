/** What the metadata must do on every engine. One file for each of its nouns. */
import { describe, expect, test } from "bun:test";
import { testAccounts } from "./accounts-suite.ts";
import { testBlobs } from "./blobs-suite.ts";
import { testHolds } from "./holds-suite.ts";
import { testInventory } from "./inventory-suite.ts";
import { testJobs } from "./jobs-suite.ts";
import { testManifests } from "./manifests-suite.ts";
import { testQuotas } from "./quotas-suite.ts";
import { testReferrers } from "./referrers-suite.ts";
import { testRepositories } from "./repositories-suite.ts";
import { testRevisions } from "./revisions-suite.ts";
import { testSecrets } from "./secrets-suite.ts";
import { testSigningKeys } from "./signing-keys-suite.ts";
import { Subject } from "./subject.ts";
import type { OpenMetadata } from "./subject.ts";
import { testTagHistory } from "./tag-history-suite.ts";
import { testTags } from "./tags-suite.ts";
import { testUploads } from "./uploads-suite.ts";

/** What differs between engines that tests look into. */
export interface SuiteOptions {
  /** Whether the rows of repositories and quotas have all usage, and changes are numbered in their order; so by default. */
  readonly isSqlite?: boolean;
}

export function metadataSuite(name: string, open: OpenMetadata, { isSqlite = true }: SuiteOptions = {}): void {
  sharingSuite(name, open, { isSqlite });
  describe(`${name}: blobs`, () => {
    testBlobs(open);
  });
  describe(`${name}: manifests`, () => {
    testManifests(open);
  });
  describe(`${name}: tags`, () => {
    testTags(open);
  });
  describe(`${name}: tag history`, () => {
    testTagHistory(open);
  });
  describe(`${name}: what tags that stay hold`, () => {
    testHolds(open);
  });
  describe(`${name}: referrers and signatures`, () => {
    testReferrers(open);
  });
  describe(`${name}: repositories`, () => {
    testRepositories(open);
  });
  describe(`${name}: quotas`, () => {
    testQuotas(open, { isSqlite });
  });
  describe(`${name}: users and robots`, () => {
    testAccounts(open);
  });
  describe(`${name}: signing keys`, () => {
    testSigningKeys(open);
  });
  describe(`${name}: secrets`, () => {
    testSecrets(open);
  });
}

/** The part of it that depends on which processes may have the database open: holders, leases, jobs, commits of others. */
export function sharingSuite(name: string, open: OpenMetadata, { isSqlite = true }: SuiteOptions = {}): void {
  describe(`${name}: uploads`, () => {
    testUploads(open);
  });
  describe(`${name}: revisions`, () => {
    testRevisions(open, { isSqlite });
  });
  describe(`${name}: jobs`, () => {
    testJobs(open);
  });
  describe(`${name}: inventory and leases`, () => {
    testInventory(open);
  });

  test(`${name}: says whether it can answer`, async () => {
    await using subject = await Subject.open(open);
    expect(await subject.store.checkReady()).toBeUndefined();
  });
}
