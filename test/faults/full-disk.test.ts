/** A disk that is really full: pushes are refused with what to do, all else goes on, and nothing needs a restart. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import { bytesOf, digestOf, imageManifest } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { runProgram } from "../support/program.ts";
import { refusedStart } from "../support/refused-start.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { startListening } from "../support/server-process.ts";
import { fillUp, mountDisk, useUpInodes } from "./support/system.ts";

setDefaultTimeout(120_000);

const MIB = 1024 * 1024;
const ADVICE = /free space, then push again/;

test("a full disk refuses pushes with 507; pulls, deletions and collection go on, and then pushes again", async () => {
  await using disk = await mountDisk(48);
  const dataDir = join(disk.folder, "data");
  await using server = await startListening({ dataDir });
  const client = new RepositoryClient(server.url, "team/app");
  const image = await pushImage(server.url, client.name, "kept");
  const begun = await begin(client);
  const chunk = bytesOf("chunk", MIB);
  expect((await client.send("PATCH", begun, { body: chunk })).status).toBe(202);

  const pushed: string[] = [];
  let refused: Response | undefined;
  for (let at = 0; !refused; at++) {
    const content = bytesOf(at, 4 * MIB);
    const reply = await pushAtOnce(client, content);
    if (reply.status === 201) pushed.push(digestOf(content));
    else refused = reply;
  }
  expect(pushed.length).toBeGreaterThan(3);
  const [error] = await expectRefused(refused, 507, "DENIED");
  expect(error?.message).toMatch(ADVICE);
  {
    await using _ballast = await fillUp(disk, MIB); // less than what has to stay free
    await expectRefused(await client.send("POST", "blobs/uploads/"), 507, "DENIED");
    await expectRefused(await client.send("PATCH", begun, { body: chunk }), 507, "DENIED");
    expect((await client.get(begun)).headers.get("range")).toBe(`0-${MIB - 1}`);
    expect((await client.get("manifests/kept")).status).toBe(200);
    for (const digest of pushed) expect(digestOf(await (await client.get(`blobs/${digest}`)).bytes())).toBe(digest);
    expect((await fetch(`${server.url}/readyz`)).status).toBe(200);
    for (const digest of pushed.slice(1)) expect((await client.delete(`blobs/${digest}`)).status).toBe(202);
    expect(await runProgram(dataDir, ["gc", "--grace", "0"])).toMatchObject({ exitCode: 0, stderr: "" });
    for (const digest of pushed.slice(1)) expect((await client.head(`blobs/${digest}`)).status).toBe(404);

    expect((await pushAtOnce(client, bytesOf("again", 4 * MIB))).status).toBe(201);
    const rest = bytesOf("rest", MIB);
    const whole = digestOf(Buffer.concat([chunk, rest]));
    expect((await client.send("PUT", `${begun}?digest=${whole}`, { body: rest })).status).toBe(201);
    expect((await client.head(`blobs/${whole}`)).headers.get("content-length")).toBe(`${2 * MIB}`);
  }
  expect((await client.get(`manifests/${image.digest}`)).status).toBe(200);
  expect(await runProgram(dataDir, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
});

test("a file system without inodes makes the server not ready: pushes get 507, pulls go on", async () => {
  await using disk = await mountDisk(48, 100);
  const dataDir = join(disk.folder, "data");
  await using server = await startListening({ dataDir });
  const client = new RepositoryClient(server.url, "team/app");
  const content = bytesOf("kept", MIB);
  expect((await pushAtOnce(client, content)).status).toBe(201);
  const readiness = async (): Promise<number> => (await fetch(`${server.url}/readyz`)).status;
  {
    await using _inodes = await useUpInodes(disk);
    while ((await readiness()) === 200) await Bun.sleep(50); // a success counts for a moment
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    await expectRefused(await pushAtOnce(client, bytesOf("refused", MIB)), 507, "DENIED");
    expect(await (await client.get(`blobs/${digestOf(content)}`)).bytes()).toEqual(content);
  }
  while ((await readiness()) !== 200) await Bun.sleep(50); // after two successes
  expect((await pushAtOnce(client, bytesOf("again", MIB))).status).toBe(201);
  expect(await runProgram(dataDir, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
});

test("a database that cannot grow refuses what it cannot keep with 507, and keeps what it acknowledged", async () => {
  await using disk = await mountDisk(48);
  const dataDir = join(disk.folder, "data");
  await using server = await startListening({ dataDir });
  const client = new RepositoryClient(server.url, "team/app");
  const image = await pushImage(server.url, client.name, "kept");
  const large = await pushBlob(server.url, client.name, bytesOf("large", MIB));
  const acknowledged: string[] = [];
  {
    await using _ballast = await fillUp(disk);
    // The database's log has room of its own, which is used up first.
    let refused: Response | undefined;
    for (let at = 0; !refused; at++) {
      const body = manifestOf(image, at);
      const reply = await putManifest(server.url, client.name, `v${at}`, body);
      if (reply.status === 201) acknowledged.push(body);
      else refused = reply;
    }
    const [error] = await expectRefused(refused, 507, "DENIED");
    expect(error?.message).toMatch(ADVICE);
    for (const [at, body] of acknowledged.entries()) {
      expect(await (await client.get(`manifests/v${at}`)).text()).toBe(body);
    }
    await expectRefused(await client.get(`manifests/v${acknowledged.length}`), 404, "MANIFEST_UNKNOWN");
    expect(digestOf(await (await client.get(`blobs/${large}`)).bytes())).toBe(large);
    await using beside = await startListening({ dataDir });
    expect((await fetch(`${beside.url}/v2/team/app/manifests/kept`)).status).toBe(200);
    expect(await beside.stop()).toBe(0);
  }
  for (let more = 0; more < 5; more++) {
    const at = acknowledged.length;
    const body = manifestOf(image, at);
    expect((await putManifest(server.url, client.name, `v${at}`, body)).status).toBe(201);
    acknowledged.push(body);
  }
  expect((await pushAtOnce(client, bytesOf("again", 4 * MIB))).status).toBe(201);
  for (const [at, body] of acknowledged.entries()) {
    expect(await (await client.get(`manifests/v${at}`)).text()).toBe(body);
  }
  expect(await runProgram(dataDir, ["check", "--deep"])).toMatchObject({ exitCode: 0, stderr: "" });
});

async function begin(client: RepositoryClient): Promise<string> {
  const reply = await client.send("POST", "blobs/uploads/");
  expect(reply.status).toBe(202);
  return reply.headers.get("location") ?? "";
}

function pushAtOnce(client: RepositoryClient, body: Uint8Array<ArrayBuffer>): Promise<Response> {
  return client.send("POST", `blobs/uploads/?digest=${digestOf(body)}`, { body });
}

/** A manifest of about 200 KiB over the blobs of an image. */
function manifestOf({ config, layers }: Awaited<ReturnType<typeof pushImage>>, at: number): string {
  const note = Buffer.from(bytesOf(`note ${at}`, 150_000)).toString("base64");
  return imageManifest(config, layers, { annotations: { note } });
}

test("a start and a backup on a full disk end with one line that says so, and leave no backup behind", async () => {
  await using source = await startListening();
  await pushImage(source.url, "team/app", "kept");
  await source.stop();
  await using disk = await mountDisk(1);
  for (const leave of [0, 20_000, 70_000]) {
    await using _ballast = await fillUp(disk, leave);
    const dataDir = join(disk.folder, `data-${leave}`);
    expect(await refusedStart({ dataDir })).toMatch(/its file system (?:is full|has no space)/);
    const backup = join(disk.folder, `backup-${leave}`);
    const { exitCode, stderr } = await runProgram(source.dataDir, ["backup", backup]);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^stowage: [^\n]*its file system (?:is full|has no space)[^\n]*\n$/);
    const restored = await runProgram(join(disk.folder, "none"), ["restore", backup]);
    expect(restored.exitCode).toBe(2);
  }
});
