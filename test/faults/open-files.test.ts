/** Too many open files, for real: refused or kept waiting, never harmed; and all is well when the crowd has gone. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdir, readlink } from "node:fs/promises";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { runProgram } from "../support/program.ts";
import { startRegistry } from "../support/registry.ts";
import { run } from "./support/system.ts";

setDefaultTimeout(120_000);

/** Files and connections that the server may open beyond those that it has open when it is idle. */
const SPARE = 16;
const CROWD = 60;
const LARGE = bytesOf("large", 2_000_000);

test("a crowd that needs more open files than there may be is refused with 503 or waits, and leaves nothing", async () => {
  await using registry = await startRegistry({ env: { REGISTRY_LOG_LEVEL: "error" } });
  const repository = `${registry.url}/v2/team/app`;
  const image = await pushImage(registry.url, "team/app", "kept");
  const large = await pushBlob(registry.url, "team/app", LARGE);
  const idle = (await readdir(`/proc/${registry.pid}/fd`)).map(Number);
  const limit = Math.max(...idle) + 1 + SPARE;
  await run("prlimit", "--pid", String(registry.pid), `--nofile=${limit}:${limit}`);

  const pushed: string[] = [];
  let refused = 0;
  const push = async (at: number): Promise<void> => {
    const body = bytesOf(at, 300_000);
    const digest = digestOf(body);
    const reply = await ask(`${repository}/blobs/uploads/?digest=${digest}`, { method: "POST", body });
    if (reply.status === 201) {
      pushed.push(digest);
      return;
    }
    await expectRefused(reply, 503, "UNAVAILABLE");
    refused++;
  };
  const pull = async (): Promise<void> => {
    const reply = await ask(`${repository}/blobs/${large}`);
    if (reply.status === 200) {
      expect(digestOf(await reply.bytes())).toBe(large);
      return;
    }
    await expectRefused(reply, 503, "UNAVAILABLE");
    refused++;
  };
  await Promise.all(Array.from({ length: CROWD }, (_, at) => [push(at), pull()]).flat());
  expect(refused).toBeGreaterThan(0);

  await push(CROWD);
  await pull();
  expect(pushed).toContain(digestOf(bytesOf(CROWD, 300_000)));
  for (const digest of pushed)
    expect(digestOf(await (await ask(`${repository}/blobs/${digest}`)).bytes())).toBe(digest);
  expect((await ask(`${repository}/manifests/${image.digest}`)).status).toBe(200);
  expect(await openBlobs(registry.pid)).toEqual([]);
  expect(await runProgram(registry.dataDir, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await registry.stop()).toBe(0);
});

/** On a connection of its own, which ends with the reply. */
function ask(url: string, init: RequestInit = {}): Promise<Response> {
  return fetch(url, { ...init, keepalive: false });
}

/** Drafts and blobs that the process has open. */
async function openBlobs(pid: number): Promise<readonly string[]> {
  const folder = `/proc/${pid}/fd`;
  const files = await Promise.all((await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => "")));
  return files.filter((file) => /\/(?:uploads|blobs)\//.test(file));
}
