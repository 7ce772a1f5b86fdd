/** How many processes serve: what is asked for, what suits the machine, and what is possible at all. */
import { describe, expect, test } from "bun:test";
import { Settings } from "../config/schema.ts";
import { CommandError } from "./command-error.ts";
import { countWorkers } from "./worker-count.ts";

const LINUX = { platform: "linux", cores: 8 } as const;

describe("the number of workers", () => {
  for (const [cores, count] of [
    [1, 1],
    [2, 1],
    [3, 3],
    [4, 4],
    [16, 16],
    [17, 16],
    [128, 16],
  ] as const) {
    test(`is ${count} on ${cores} cores, without a setting`, () => {
      expect(countWorkers(Settings.parse({}), { platform: "linux", cores })).toEqual({ count });
    });
  }

  test("is what the setting says, from 1 to 64", () => {
    for (const workers of [1, 2, 64]) {
      expect(countWorkers(Settings.parse({ workers }), LINUX)).toEqual({ count: workers });
    }
    for (const workers of [0, 65, 1.5, -1, "many"]) {
      expect(Settings.safeParse({ workers }).error?.issues[0]?.message).toBe(
        "expected a number of processes from 1 to 64",
      );
    }
  });

  for (const [where, settings, platform] of [
    ["on a Unix socket", { http: { addr: "unix:/run/stowage.sock" } }, "linux"],
    ["on another system than Linux", {}, "darwin"],
  ] as const) {
    test(`is 1 ${where}, with a warning when more were asked for`, () => {
      const machine = { platform, cores: 8 };
      expect(countWorkers(Settings.parse(settings), machine)).toEqual({ count: 1 });
      expect(countWorkers(Settings.parse({ ...settings, workers: 1 }), machine)).toEqual({ count: 1 });
      const { count, warning } = countWorkers(Settings.parse({ ...settings, workers: 4 }), machine);
      expect(count).toBe(1);
      expect(warning).toContain("one process serves, not 4");
    });
  }

  test("is 1 when one process alone may open the data folder, and more are refused", () => {
    const storage = { filesystem: { singleprocess: true } };
    expect(countWorkers(Settings.parse({ storage }), LINUX)).toEqual({ count: 1 });
    expect(countWorkers(Settings.parse({ storage, workers: 1 }), LINUX)).toEqual({ count: 1 });
    expect(() => countWorkers(Settings.parse({ storage, workers: 2 }), LINUX)).toThrow(CommandError);
  });
});
