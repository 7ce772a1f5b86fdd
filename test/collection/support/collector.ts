/**
 * A program that does nothing but collect, through the library: `collector.ts FOLDER LEASE_MS`, without any grace, until
 * its input ends. Then it prints what it took.
 */
import { createRegistry } from "../../../src/index.ts";

const [folder = "", lease] = process.argv.slice(2);
const rules = { leaseMs: Number(lease), graceMs: 0 };
await using registry = await createRegistry({ storage: { folder, mustExist: true }, collection: rules });

const taken = { blobs: 0, files: 0 };
process.stdin.resume();
while (!process.stdin.readableEnded) {
  const { blobs, files } = await registry.collect();
  taken.blobs += blobs;
  taken.files += files;
  await new Promise<void>((resolve) => {
    setImmediate(resolve);
  });
}
process.stdout.write(JSON.stringify(taken));
