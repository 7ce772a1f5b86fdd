/** The contract of a registry, with its metadata in SQLite and its bytes in S3. */
import { setDefaultTimeout } from "bun:test";
import { contractSuite } from "../../src/registry/testing/contract-suite.ts";
import { S3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { MIN_PART_BYTES } from "../../src/storage/s3-options.ts";
import { contractRegistry } from "../support/contract-registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startS3 } from "./support/s3-server.ts";

setDefaultTimeout(120_000);

const s3 = await startS3();
const root = await scratchFolder();

const inS3 = contractRegistry({
  root,
  inlineBytes: 0,
  storageIn(folder) {
    const options = s3.options({ partBytes: MIN_PART_BYTES });
    return { storage: { folder, s3: options }, openStore: () => new S3BlobStore(options) };
  },
});

contractSuite("SQLite and S3, nothing inline", inS3, { files: false });
