/** Waiting for jobs, by commands: with progress, and a line when another process has them. */
import type { Registry } from "../create-registry.ts";
import { printError } from "./print.ts";
import { showProgress } from "./progress.ts";

/** Milliseconds after which a command says what it waits for. */
const SILENT_MS = 2000;

/** Carries out the jobs that there are, or waits for the server that does. When it is interrupted, a server does the rest. */
export async function finishJobs(registry: Registry, { isQuiet = false } = {}): Promise<void> {
  const progress = showProgress("removed from the database:");
  let isSaid = false;
  const onWait = (waitedMs: number): void => {
    if (isQuiet || isSaid || waitedMs < SILENT_MS) return;
    isSaid = true;
    progress.end();
    printError("waiting until a running server has done its jobs; stowage status shows them\n");
  };
  await registry.finishJobs({ onStep: (rows) => progress.update(rows), onWait });
  progress.end();
}
