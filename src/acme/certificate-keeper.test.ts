/** What the keeper does when an authority cannot be used. How it gets certificates is tested against a real one. */
import { describe, expect, test } from "bun:test";
import { createPrivateKey } from "node:crypto";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { Authority } from "../../test/support/certificates.ts";
import { scratchFolder } from "../../test/support/scratch.ts";
import { systemClock } from "../lib/clock.ts";
import { silentLogger } from "../observe/logger.ts";
import { CertificateFolder } from "./certificate-folder.ts";
import { CertificateKeeper } from "./certificate-keeper.ts";

const DAY_MS = 86_400_000;
const NAME = "registry.example";

const scratch = await scratchFolder();

describe("a certificate that is to be renewed, while its authority cannot be used,", () => {
  test("is served on, and the authority is asked once, and not again before the pause is over", async () => {
    let asked = 0;
    const server = createServer((socket) => {
      asked++;
      socket.destroy();
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => {
      server.once("listening", resolve);
    });
    const directory = `https://127.0.0.1:${(server.address() as AddressInfo).port}/directory`;
    const folder = await CertificateFolder.open(scratch, directory);
    const now = systemClock.now();
    const { cert, key } = new Authority().issue(NAME, {
      names: [NAME],
      from: new Date(now - 60 * DAY_MS),
      until: new Date(now + 20 * DAY_MS),
    });
    await folder.putCertificate(createPrivateKey(key), cert);
    let taken = 0;
    const keeper = new CertificateKeeper({
      folder,
      directory,
      email: "operator@example.com",
      names: [NAME],
      lease: {
        hold: async () => {
          taken++;
          return { lost: new AbortController().signal, [Symbol.asyncDispose]: async () => void taken-- };
        },
      },
      clock: systemClock,
      log: silentLogger(),
    });
    await keeper.provide();
    expect(asked).toBe(0);

    const stopping = new AbortController();
    const renewing = keeper.renewInBackground(stopping.signal);
    while ((await folder.failure()) === undefined) await sleep(10);
    const before = asked;
    expect(before).toBeGreaterThan(0); // the runtime may knock more than once
    await sleep(1500); // longer than its shortest look
    stopping.abort();
    await renewing;
    server.close();
    expect(asked).toBe(before);
    expect(taken).toBe(0);
    expect(await folder.failure()).toMatchObject({ count: 1, reason: expect.stringContaining("cannot be reached") });
    expect(await folder.certificate()).toContain(cert);
  });
});
