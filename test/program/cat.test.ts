/** `stowage cat`: any blob or manifest, wherever it lies, beside a running server. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { pushBlob, pushImage } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { PROGRAM } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
const LARGE = bytesOf("large", 5_000_000);
let server: Listening;
let image: PushedImage;

beforeAll(async () => {
  server = await startListening();
  image = await pushImage(server.url, "team/app", "latest");
  await pushBlob(server.url, "team/app", LARGE);
});
afterAll(() => server[Symbol.asyncDispose]());

describe("stowage cat", () => {
  test("prints a manifest by its tag and by its digest", async () => {
    for (const reference of ["team/app:latest", `team/app@${image.digest}`]) {
      expect(await runProgram(server.dataDir, ["cat", reference])).toEqual({
        exitCode: 0,
        stdout: image.body,
        stderr: "",
      });
    }
  });

  test("prints a blob that lies in the database", async () => {
    const { digest } = image.layers[0]!;
    expect(digestOf(await printed(`team/app@${digest}`))).toBe(digest);
  });

  test("prints a blob that lies in a file, however slowly it is read", async () => {
    const digest = digestOf(LARGE);
    expect(digestOf(await printed(`team/app@${digest}`))).toBe(digest);
  });

  test("knows what was pushed a moment ago", async () => {
    const digest = await pushBlob(server.url, "team/app", "pushed just now");
    expect(Buffer.from(await printed(`team/app@${digest}`)).toString()).toBe("pushed just now");
  });

  test("says in one line what is not there", async () => {
    for (const reference of ["team/app:v2", "team/other:latest", `team/app@${digestOf("absent")}`]) {
      const { exitCode, stdout, stderr } = await runProgram(server.dataDir, ["cat", reference]);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toBe(`stowage: there is no ${reference} in this registry\n`);
    }
  });

  test("makes no data folder where there is none", async () => {
    const dataDir = join(scratch, "nowhere");
    const { exitCode, stdout, stderr } = await runProgram(dataDir, ["cat", "team/app:latest"]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
    expect(existsSync(dataDir)).toBe(false);
  });
});

/** What the program prints to a pipe whose reader takes its time. */
async function printed(reference: string): Promise<Uint8Array> {
  const child = Bun.spawn([PROGRAM, "cat", reference], {
    env: { PATH: process.env["PATH"] ?? "", REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: server.dataDir },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  const pieces: Uint8Array[] = [];
  for await (const piece of child.stdout) {
    pieces.push(piece);
    await fetch(`${server.url}/v2/`);
  }
  expect(await child.exited).toBe(0);
  return Buffer.concat(pieces);
}
