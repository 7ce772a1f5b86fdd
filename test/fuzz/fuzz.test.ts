/**
 * Requests that no client would send, by the thousand. The rules: no 5xx, no crash, nothing of the server's inside in an
 * answer, memory bounded, and what was there stays as it was.
 *
 * `STOWAGE_FUZZ_SECONDS` (60), `STOWAGE_FUZZ_REQUESTS` (no limit) and `STOWAGE_FUZZ_SEED` (of the clock) make a longer
 * run, or repeat one.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Witness } from "../bad-input/witness.ts";
import { residentMb } from "../support/resident.ts";
import { fuzz } from "./fuzzer.ts";

const seconds = Number(process.env["STOWAGE_FUZZ_SECONDS"] ?? 60);
const requests = Number(process.env["STOWAGE_FUZZ_REQUESTS"] ?? Infinity);
const seed = Number(process.env["STOWAGE_FUZZ_SEED"] ?? Date.now() % 2 ** 31);

setDefaultTimeout((seconds + 120) * 1000);

/** What the server may grow by: sockets, and what the engine keeps for later. */
const MAX_GROWTH_MB = 200;

test(`mutated requests, seed ${seed}`, async () => {
  await using witness = await Witness.open({
    env: {
      REGISTRY_SIGNATURES_ENABLED: "true",
      REGISTRY_COMPATIBILITY_SCHEMA1_ENABLED: "true",
      REGISTRY_LOG_LEVEL: "error",
    },
    withCatalog: false,
  });
  const { registry } = witness;
  await fuzz(registry, { seed, requests: 5000, seconds: 5 }); // to warm up
  const before = await residentMb(registry.pid);
  const { sent, statuses, broken } = await fuzz(registry, {
    seed,
    requests,
    seconds,
    onProgress: (count) => process.stderr.write(`fuzzed ${count.toLocaleString("en")} requests\n`),
  });
  const after = await residentMb(registry.pid);
  const counts = [...statuses].toSorted(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`);
  process.stderr.write(
    `seed ${seed}: ${sent} requests, ${before.toFixed(0)} to ${after.toFixed(0)} MB resident; answers ${counts.join(", ")}\n`,
  );
  expect(broken).toEqual([]);
  await witness.expectUnchanged();
  expect(after - before).toBeLessThan(MAX_GROWTH_MB);
  // Good and bad ones were among them: a fuzzer of which everything is refused at the door looks at nothing.
  for (const status of [200, 201, 202, 400, 404, 405, 416]) expect(statuses.get(status) ?? 0).toBeGreaterThan(0);
});
