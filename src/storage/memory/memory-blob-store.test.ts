/** The blob store in memory. */
import { blobStoreSuite } from "../testing/blob-store-suite.ts";
import { MemoryBlobStore } from "./memory-blob-store.ts";

blobStoreSuite("memory", async () => new MemoryBlobStore());
