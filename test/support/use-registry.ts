/** One registry for the tests of a file. */
import { afterAll, beforeAll, setDefaultTimeout } from "bun:test";
import { startRegistry } from "./registry.ts";
import type { RegistryOptions, RunningRegistry } from "./registry.ts";

/** Starts a registry before the first test of the file and stops it after the last; gives it to the tests. */
export function useRegistry(options: RegistryOptions = {}): () => RunningRegistry {
  let running: RunningRegistry | undefined;
  setDefaultTimeout(60_000);
  beforeAll(async () => {
    running = await startRegistry(options);
  });
  afterAll(() => running?.[Symbol.asyncDispose]());
  return () => {
    if (!running) throw new Error("the registry has not been started");
    return running;
  };
}
