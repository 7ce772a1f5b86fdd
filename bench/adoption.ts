/**
 * What adopting a tree of distribution costs.
 *
 *   tools/bun bench/adoption.ts [--manifests N] [--folder FOLDER]
 *
 * It writes a tree of so many images (some 80 kB of small files each) into a new folder, or takes the tree in FOLDER, and adopts it in
 * this process: one line with the time to the first answer, the manifests per second, and the CPU time of each manifest.
 */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createRegistry } from "../src/create-registry.ts";
import { repositoryAt, writeDistributionTree } from "./support/distribution-tree.ts";

const { values: options } = parseArgs({
  options: { manifests: { type: "string", default: "10000" }, folder: { type: "string" } },
});

/** What Stowage adds beside a tree. */
const OWN = ["registry.db", "registry.db-wal", "registry.db-shm", "lock.db", "holders", "blobs", "uploads"];

const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "stowage-bench-")));
if (!existsSync(join(folder, "docker"))) {
  await mkdir(folder, { recursive: true });
  writeDistributionTree(folder, Number(options.manifests));
}
for (const name of OWN) await rm(join(folder, name), { recursive: true, force: true });
const opened = performance.now();
const registry = await createRegistry({ storage: { folder, adopts: true } });
const answer = await registry.fetch(new Request(`http://bench/v2/${repositoryAt(0)}/manifests/v7`));
await answer.arrayBuffer();
const firstMs = performance.now() - opened;
const [begun, cpu] = [performance.now(), process.cpuUsage()];
await registry.adoptInBackground(new AbortController().signal);
const [tookMs, { user, system }] = [performance.now() - begun, process.cpuUsage(cpu)];
const { manifests = 0, findings = 0 } = (await registry.adoption()) ?? {};
await registry.close();
if (options.folder === undefined) await rm(folder, { recursive: true });
console.log(
  `${manifests} manifests: first answer ${answer.status} after ${Math.round(firstMs)} ms; ` +
    `${Math.round((manifests / tookMs) * 1000)} manifests/s; CPU of each ${Math.round(user / manifests)} us user, ` +
    `${Math.round(system / manifests)} us system; ${findings} findings`,
);
