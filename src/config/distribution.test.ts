/** Settings of distribution that this program does not have: which stop the start, and which do not. */
import { describe, expect, test } from "bun:test";
import { UNBUILT_PATHS, unbuiltSetting } from "./distribution.ts";
import { SETTING_PATHS } from "./schema.ts";

describe("a setting of distribution's", () => {
  const protecting = [
    "auth.silly",
    "auth.silly.realm",
    "storage.oss",
    "storage.oss.bucket",
    "storage.gcs.bucket",
    "storage.azure",
    "storage.inmemory",
    "middleware.repository",
    "middleware.registry",
    "proxy.remoteurl",
  ];
  for (const path of protecting) {
    test(`protects something: ${path}`, () => {
      expect(unbuiltSetting(path)).toMatchObject({
        kind: "protects",
        path: expect.stringMatching(new RegExp(`^${path.split(".")[0]}`)),
        without: expect.any(String),
      });
    });
  }

  const ignored = [
    "version",
    "log.hooks",
    "log.reportcaller",
    "storage.cache.blobdescriptor",
    "storage.s3.loglevel",
    "storage.tag.concurrencylimit",
    "storage.filesystem.maxthreads",
    "middleware.storage",
    "http.secret",
    "redis.addr",
    "health.storagedriver.enabled",
    "validation.enabled",
  ];
  for (const path of ignored) {
    test(`can be done without: ${path}`, () => {
      const setting = unbuiltSetting(path);
      expect(setting?.kind).toBe("ignored");
      expect(`${path}.`).toStartWith(`${setting?.path}.`);
    });
  }

  test("is none when it only begins with the same letters", () => {
    for (const path of [
      "",
      "authx",
      "author.token",
      "http",
      "http.tlsx",
      "storage",
      "storage.s3x.bucket",
      "proxyx",
      "versions",
    ]) {
      expect(unbuiltSetting(path)).toBeUndefined();
    }
  });

  test("is never one that this program has", () => {
    for (const path of SETTING_PATHS) expect(unbuiltSetting(path)).toBeUndefined();
  });

  test("is named once in the list of names for suggestions", () => {
    expect(new Set(UNBUILT_PATHS).size).toBe(UNBUILT_PATHS.length);
    for (const path of UNBUILT_PATHS) expect(unbuiltSetting(path)?.path).toBe(path);
  });
});
