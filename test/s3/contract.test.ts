/** The contract of a registry, with its metadata in SQLite and its bytes in S3. */
import { setDefaultTimeout } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import type { Registry } from "../../src/create-registry.ts";
import { ManualClock } from "../../src/registry/testing/contract-subject.ts";
import type { OpenContract } from "../../src/registry/testing/contract-subject.ts";
import { contractSuite } from "../../src/registry/testing/contract-suite.ts";
import { S3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { MIN_PART_BYTES } from "../../src/storage/s3-options.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startS3 } from "./support/s3-server.ts";

setDefaultTimeout(120_000);

const s3 = await startS3();
const scratch = await scratchFolder();

const KEEP_ALL = { leaseMs: Number.MAX_SAFE_INTEGER, graceMs: Number.MAX_SAFE_INTEGER };
const KEEP_NOTHING = { leaseMs: 0, graceMs: 0 };

/** Another process is another registry on the same folder and bucket. */
const inS3: OpenContract = async (given) => {
  const clock = new ManualClock();
  const folder = await mkdtemp(join(scratch, "data-"));
  const limits = { inlineBytes: 0, ...given };
  const options = s3.options({ partBytes: MIN_PART_BYTES });
  const opened: Registry[] = [];
  const open = async (): Promise<Registry> => {
    const registry = await createRegistry({ storage: { folder, s3: options }, limits, clock });
    opened.push(registry);
    return registry;
  };
  const registry = await open();
  return {
    clock,
    folder,
    namespace: registry.namespace,
    another: async () => (await open()).namespace,
    collectAll: () => registry.collect(KEEP_NOTHING),
    async kept() {
      await registry.collect(KEEP_ALL);
      return (await Array.fromAsync(new S3BlobStore(options).list())).map(({ key }) => key);
    },
    async [Symbol.asyncDispose]() {
      for (const each of opened) await each.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
};

contractSuite("SQLite and S3, nothing inline", inS3, { files: false });
