/** Every operation in a large registry, and what each of its statements cost. */
import { Metadata } from "../../../src/metadata/metadata.ts";
import { Subject } from "../../../src/metadata/testing/subject.ts";
import { digestOf } from "../../../src/oci/digest.ts";
import { repositoryName } from "../../../src/oci/repository-name.ts";
import { tag } from "../../../src/oci/tag.ts";
import { everyOperation } from "../../costs/support/every-operation.ts";
import { LARGEST, MOVED_TAG, fillRegistry } from "./large-registry.ts";
import type { LargeRegistry } from "./large-registry.ts";
import { LOGS_PLANS, PlanLog } from "./plan-log.ts";
import type { StatementCost } from "./plan-log.ts";
import { PostgresServer, openEngine } from "./postgres-server.ts";

/** Fills a server of its own and runs every operation there; returns the statements, the most expensive first. */
export async function measureStatements(
  sizes: LargeRegistry,
  onStep: (step: string) => void = () => undefined,
): Promise<readonly StatementCost[]> {
  const server = await PostgresServer.start({
    settings: {
      ...LOGS_PLANS,
      autovacuum: "on",
      shared_buffers: "'512MB'",
      wal_level: "minimal",
      max_wal_senders: "0",
    },
  });
  try {
    const url = await server.createMigratedDatabase();
    onStep("filling the tables");
    await fillRegistry(url, sizes);
    onStep("running every operation");
    const log = new PlanLog(server);
    await log.begin();
    await using subject = await Subject.open(async (clock) => {
      const engine = await openEngine(url);
      return { store: new Metadata(engine, clock), engine };
    });
    await everyOperation(subject, { isAlone: false });
    onStep("reading in the largest repository");
    await readLargest(subject);
    onStep("reading the log");
    return await log.costs();
  } finally {
    await server.end();
  }
}

/** Pages of what is long, from its beginning and from its middle. */
async function readLargest({ store }: Subject): Promise<void> {
  const name = repositoryName(LARGEST);
  const subject = digestOf(Buffer.from("manifest 10"));
  for (const after of [undefined, "t0000500"]) {
    const page = { limit: 10, ...(after !== undefined && { after }) };
    await store.tags.list(name, page);
    await store.tags.names(name, page);
  }
  await store.tags.history(name, tag(MOVED_TAG), 10);
  await store.manifests.list(name, { limit: 10 });
  for (const artifactType of [undefined, ""]) {
    const sizes = await store.manifests.referrerSizes(name, subject, { limit: 10, artifactType });
    const digests = sizes.map(({ digest }) => digest);
    await store.manifests.referrers(name, digests);
  }
  await store.manifests.readByTag(name, tag("t0000010"));
  await store.repositories.list({ from: "big/r000500", limit: 10 });
  await store.repositories.exists(name);
  await store.repositories.usageOf(name);
  const newest = { pushedAt: Number.MAX_SAFE_INTEGER, id: 0 };
  await store.inventory.manifests(name, newest, 10);
  await store.inventory.repository(name);
  await store.inventory.repositories("big/r000500", 10, { letters: "" });
  await store.inventory.counts(name);
  await store.inventory.links(name, 0, 10);
  await store.inventory.uploads(name, "", 10);
  await store.tagHistories.prune(undefined, 10, { undoMs: 0, historyMs: 0, historyEntries: 1 }, 1);
  await store.audit.list(Number.MAX_SAFE_INTEGER, 10);
  await store.outbox.after(0, { limit: 10, maxBytes: 1e6 });
}
