import { expect, test } from "bun:test";
import { join } from "node:path";

/** Throws in every way that no request catches, and says that it is still there. */
const SCRIPT = `
  import { pino } from "pino";
  import { surviveUnexpectedErrors } from ${JSON.stringify(join(import.meta.dir, "unexpected-errors.ts"))};
  let counted = 0;
  surviveUnexpectedErrors(pino(), () => counted++);
  setTimeout(() => { throw new Error("in a timer"); });
  queueMicrotask(() => { throw new TypeError("in a microtask"); });
  Promise.reject(new Error("of a promise"));
  Promise.reject("no error at all");
  Promise.reject({ toString() { throw new Error("cannot be printed"); } });
  await Bun.sleep(50);
  console.log("counted", counted);
`;

test("an error that nothing catches is logged with its stack and counted, and the program goes on", async () => {
  const child = Bun.spawn([process.execPath, "-e", SCRIPT], { cwd: import.meta.dir, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect([child.exitCode, stderr]).toEqual([0, ""]);
  const lines = stdout.trim().split("\n");
  expect(lines.pop()).toBe("counted 5");
  const errors = lines.map((line) => JSON.parse(line).err as { type: string; message: string; stack: string });
  expect(errors.map(({ message }) => message).toSorted()).toEqual([
    "in a microtask",
    "in a timer",
    "of a promise",
    "thrown: no error at all",
  ]);
  for (const { stack } of errors) expect(stack).toContain("at ");
});
