/** A start of the program that is refused. */
import { expect } from "bun:test";
import { startProcess } from "./server-process.ts";
import type { ServerProcessOptions } from "./server-process.ts";

/** The one line on standard error by which a start is refused; fails when it is not, or not in one line. */
export async function refusedStart(options: ServerProcessOptions): Promise<string> {
  await using server = await startProcess(options);
  const started = server.printed(/Listening on .*/).then(
    ([line]) => line,
    () => "ended",
  );
  expect(await Promise.race([server.ended, started])).toBe(1);
  expect(server.output()).toBe(server.errors());
  expect(server.errors()).toMatch(/^stowage: [^\n]+\n$/);
  return server.errors();
}
