/**
 * How the costs of operations grow with a repository.
 *
 *   tools/bun bench/growth.ts [--tags 1000,10000,100000,1000000] [--rounds N] [--json FILE]
 *
 * For each size a repository with so many tags is filled, and as many images beside it, up to 100,000 repositories. One line
 * per operation: the median of its times at each size, and how many times the first one the last one is.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { seed } from "../test/stalls/support/seeder.ts";
import { startRegistry } from "../test/support/registry.ts";
import type { RunningRegistry } from "../test/support/registry.ts";
import { residentMb } from "../test/support/resident.ts";
import { smallImages } from "./loads/bodies.ts";
import { Connection } from "./loads/connection.ts";
import { percentile } from "./loads/load.ts";
import { pushImage } from "./loads/pusher.ts";
import { settingOf } from "./setting.ts";

const { values: options } = parseArgs({
  options: {
    tags: { type: "string", default: "1000,10000,100000,1000000" },
    rounds: { type: "string", default: "200" },
    json: { type: "string" },
  },
});
const sizes = options.tags.split(",").map(Number);
const rounds = Number(options.rounds);

const REPOSITORY = "growth/app";
const IMAGES = 10;
const MOST_REPOSITORIES = 100_000;

interface Place {
  readonly server: RunningRegistry;
  readonly connection: Connection;
  readonly tags: number;
}

interface Operation {
  readonly name: string;
  /** Times that it is done; as often as the option says when absent. */
  readonly rounds?: number;
  run(place: Place, round: number): Promise<unknown>;
}

/** A tag among all of them, another one in each round. */
function tagOf({ tags }: Place, round: number): string {
  return `t${String(Math.floor((tags * (round % 97)) / 97)).padStart(7, "0")}`;
}

const get = (path: string, { connection }: Place): Promise<unknown> => connection.request(200, "GET", `/v2/${path}`);

/** In this order, because the last ones delete. */
const OPERATIONS: readonly Operation[] = [
  {
    name: "GET of a manifest by tag",
    run: (place, round) => get(`${REPOSITORY}/manifests/${tagOf(place, round)}`, place),
  },
  {
    name: "a page of 100 tags",
    run: (place, round) => get(`${REPOSITORY}/tags/list?n=100&last=${tagOf(place, round)}`, place),
  },
  { name: "a page of 100 repositories", run: (place, round) => get(`_catalog?n=100&last=beside/${round}`, place) },
  {
    name: "a push of a small image",
    run: ({ connection }, round) => pushImage(connection, REPOSITORY, `new-${round}`, smallImages(1)[0]!),
  },
  {
    name: "DELETE of a tag",
    run: ({ connection, tags }, round) =>
      connection.request(202, "DELETE", `/v2/${REPOSITORY}/manifests/${tagOf({ tags } as Place, round)}`),
    rounds: 90,
  },
  {
    name: "all tags",
    rounds: 3,
    run: async ({ server }) => await (await fetch(`${server.url}/v2/${REPOSITORY}/tags/list`)).arrayBuffer(),
  },
  {
    name: "DELETE of the digest that all tags have",
    rounds: 1,
    run: async ({ server, connection }) => {
      const reply = await fetch(`${server.url}/v2/${REPOSITORY}/manifests/v0-0`, { method: "HEAD" });
      const digest = reply.headers.get("docker-content-digest");
      const startedAt = performance.now();
      await connection.request(202, "DELETE", `/v2/${REPOSITORY}/manifests/${digest}`);
      return performance.now() - startedAt;
    },
  },
];

interface Growth {
  readonly name: string;
  /** At each size. */
  readonly values: number[];
}

const growths = new Map<string, Growth>();

function note(name: string, value: number): void {
  growths.set(name, { name, values: [...(growths.get(name)?.values ?? []), value] });
}

async function measure(operation: Operation, place: Place): Promise<void> {
  const times: number[] = [];
  for (let round = 0; round < (operation.rounds ?? rounds); round++) {
    const startedAt = performance.now();
    const told = await operation.run(place, round);
    times.push(typeof told === "number" ? told : performance.now() - startedAt);
  }
  note(
    `${operation.name}, ms`,
    percentile(
      times.toSorted((a, b) => a - b),
      0.5,
    ),
  );
}

async function measureSize(tags: number): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), "stowage-bench-growth-"));
  try {
    await seed(dataDir, (seeder) => {
      for (let image = 0; image < IMAGES; image++) seeder.image(REPOSITORY, `v${image}`);
      seeder.tags(REPOSITORY, "v0-0", tags);
      seeder.images({ prefix: "beside", repositories: Math.min(tags, MOST_REPOSITORIES) });
    });
    const startedAt = performance.now();
    await using server = await startRegistry({
      dataDir,
      env: { REGISTRY_LOG_LEVEL: "info", REGISTRY_GC_ENABLED: "false" },
    });
    note("start, ms", performance.now() - startedAt);
    note("memory at rest, MB", await residentMb(server.pid));
    using connection = await Connection.open(server.port);
    for (const operation of OPERATIONS) await measure(operation, { server, connection, tags });
    note("memory afterwards, MB", await residentMb(server.pid));
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

function cell(value: number): string {
  return value < 10 ? value.toFixed(2) : String(Math.round(value));
}

for (const size of sizes) await measureSize(size);
console.log(`| operation | ${sizes.map((size) => `${size.toLocaleString("en")} tags`).join(" | ")} | growth |`);
console.log(`|---|${sizes.map(() => "--:|").join("")}--:|`);
for (const { name, values } of growths.values()) {
  console.log(`| ${name} | ${values.map(cell).join(" | ")} | ${cell(values.at(-1)! / values[0]!)} × |`);
}
if (options.json !== undefined) {
  const { commit, date, machine } = settingOf([]);
  await Bun.write(
    options.json,
    `${JSON.stringify({ commit, date, machine, sizes, growths: [...growths.values()] }, null, 2)}\n`,
  );
}
