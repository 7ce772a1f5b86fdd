/**
 * kill -9 right before and right after every call of the drivers that changes something, each once: what was acknowledged
 * is there, what was not is there wholly or not at all, and nothing is left behind.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { everyPoint } from "../faults/support/every-point.ts";
import { folderInMemory } from "../faults/support/folder-in-memory.ts";
import { openWatchedRegistry } from "../faults/support/watched-registry.ts";
import { ServerGone, Workload } from "../faults/support/workload.ts";
import type { WorkloadOptions } from "../faults/support/workload.ts";
import { leaveToSleeper } from "../support/data-folder.ts";
import { startPointServer } from "./support/point-servers.ts";

setDefaultTimeout(600_000);

const HOUR_MS = 3_600_000;
const WEEK_MS = 168 * HOUR_MS;

interface Case {
  readonly inlineBytes: number;
  /** Which calls count: those that begin with it. */
  readonly counted: string;
  /** Some of them, which there must have been. */
  readonly calls: readonly string[];
}

const CASES: readonly Case[] = [
  {
    inlineBytes: 0,
    counted: "",
    calls: [
      "store.begin",
      "store.takeOver",
      "store.delete",
      "part.append",
      "part.checkpoint",
      "part.commit",
      "database.write",
    ],
  },
  { inlineBytes: 16 * 1024, counted: "database.", calls: ["database.write"] },
];

test.each(CASES)("kill -9 before and after any call, with $inlineBytes bytes in the database", async (each) => {
  const died = await everyPoint(async (at) => {
    const before = await dieAt(at, "before", each);
    const after = await dieAt(at, "after", each);
    return before === undefined || after === undefined ? undefined : [before, after];
  });
  const seen = died.flat();
  for (const call of each.calls) {
    expect(seen).toContain(`before ${call}`);
    expect(seen).toContain(`after ${call}`);
  }
});

/** Works on a server that dies there, and looks at what it left. Gives what it died at; undefined when it did not. */
async function dieAt(
  at: number,
  when: "before" | "after",
  { inlineBytes, counted }: Case,
): Promise<string | undefined> {
  await using folder = await folderInMemory();
  const worked = await work(folder.path, [String(inlineBytes), counted, String(at), when]);
  await inspect(folder.path, inlineBytes, worked);
  return worked.died;
}

interface Worked {
  readonly workload: Workload;
  /** What the server died before or after; undefined when it did not. */
  readonly died: string | undefined;
  /** Whether a collection had begun: what nothing needs may be gone. */
  readonly isCollected: boolean;
}

async function work(folder: string, words: readonly string[]): Promise<Worked> {
  await using server = await startPointServer([folder, ...words]);
  await using sleepers = new AsyncDisposableStack();
  const { url } = server;
  const workload = new Workload();
  let isCollected = false;
  if (url === undefined) return { workload, isCollected, died: await server.died() };
  try {
    const refusals = await workload.run({
      url,
      abandon: async (id) => void sleepers.use(await leaveToSleeper(folder, id)),
      async aside() {
        isCollected = true;
        if (!(await server.collect())) throw new ServerGone();
        await workload.collected({ url });
      },
    });
    expect(refusals).toEqual([]);
    return { workload, isCollected, died: undefined };
  } catch (error) {
    if (error instanceof ServerGone) return { workload, isCollected, died: await server.died() };
    throw error;
  }
}

/** Goes on with what was left, in a process that has nothing to remember, to its end. */
async function inspect(folder: string, inlineBytes: number, { workload, isCollected }: Worked): Promise<void> {
  await using registry = await openWatchedRegistry(folder, { inlineBytes });
  const options: WorkloadOptions = { url: registry.url };
  expect(await registry.findings()).toEqual([]);
  if (isCollected) await workload.collected(options);
  expect(await workload.finish(options)).toEqual([]);
  expect(await registry.findings()).toEqual([]);

  expect(await workload.deleteAll(options)).toEqual([]);
  registry.later(WEEK_MS + HOUR_MS);
  await registry.collect();
  expect(await registry.files()).toEqual([]);
}
