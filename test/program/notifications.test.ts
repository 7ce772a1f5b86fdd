/** Events of a running server: what receivers are told, also when the server is killed between a change and its delivery. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RegistryEvent } from "../../src/registry/events/event.ts";
import { Receiver } from "../../src/registry/events/testing/receiver.ts";
import { pushImage } from "../support/client.ts";
import { runProgram } from "../support/program.ts";
import { startRegistry } from "../support/registry.ts";
import { RepositoryClient } from "../support/repository-client.ts";

setDefaultTimeout(60_000);

const folders: string[] = [];
afterAll(async () => {
  await Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true })));
});

async function dataFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "stowage-events-"));
  folders.push(folder);
  return folder;
}

function endpoints(...urls: readonly string[]): Readonly<Record<string, string>> {
  const all = urls.map((url, at) => ({ name: `hook ${at}`, url, threshold: 2, backoff: "50ms", timeout: "2s" }));
  return { REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify(all) };
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await Bun.sleep(10);
}

const named = ({ action, target, request }: RegistryEvent): string =>
  [action, target.repository, target.tag ?? "", target.fromRepository ?? "", request.method].join(" ").trim();

test("a receiver is told of every change in order, and of what an operator does by a command", async () => {
  await using receiver = await Receiver.start();
  const env = { ...endpoints(receiver.url), REGISTRY_AUDIT_ENABLED: "true" };
  await using registry = await startRegistry({ env });
  const image = await pushImage(registry.url, "team/app", "v1");
  const [layer = { digest: "" }] = image.layers;
  const other = new RepositoryClient(registry.url, "team/other");
  await other.send("POST", `blobs/uploads/?mount=${layer.digest}&from=team/app`);
  await other.delete(`blobs/${layer.digest}`);
  await other.delete(`blobs/${layer.digest}`); // it is gone: nothing is changed
  await runProgram(registry.dataDir, ["tag", "delete", "team/app:v1"], env, "");
  await new RepositoryClient(registry.url, "team/app").delete(`manifests/${image.digest}`);
  await until(() => receiver.events.length === 7);
  expect(receiver.events.map(named)).toEqual([
    "push team/app   PUT",
    "push team/app   PUT",
    "push team/app v1  PUT",
    "mount team/other  team/app POST",
    "delete team/other   DELETE",
    "delete team/app v1",
    "delete team/app   DELETE",
  ]);
  const [, , pushed, , , byCommand] = receiver.events;
  expect(pushed?.target).toMatchObject({
    digest: image.digest,
    url: `${registry.url}/v2/team/app/manifests/${image.digest}`,
  });
  expect(pushed?.request).toMatchObject({ addr: "127.0.0.1", host: new URL(registry.url).host });
  expect(byCommand?.actor.name).toStartWith("system:");
  expect(new Set(receiver.events.map(({ source }) => source.instanceID)).size).toBe(2); // the server, and the command
});

test("a receiver is told of pulls by GET and HEAD, with the tag, and of no 304; nothing is written for them", async () => {
  await using receiver = await Receiver.start();
  await using quiet = await Receiver.start();
  const env = {
    REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([
      { name: "all", url: receiver.url, ignore: { actions: ["push"] } },
      { name: "quiet", url: quiet.url, heads: false, ignore: { actions: ["push"] } },
    ]),
  };
  await using registry = await startRegistry({ env });
  const { digest, layers } = await pushImage(registry.url, "team/app", "v1");
  const app = new RepositoryClient(registry.url, "team/app");
  await app.send("HEAD", "manifests/v1");
  for (const _ of ["read", "cached"]) await (await app.get("manifests/v1")).bytes();
  await app.send("GET", "manifests/v1", { headers: { "if-none-match": `"${digest}"` } });
  await (await app.get(`manifests/${digest}`)).bytes();
  const blob = `blobs/${layers[0]!.digest}`;
  await (await app.send("GET", blob, { headers: { range: "bytes=0-1" } })).bytes();
  await until(() => receiver.events.length === 5 && quiet.events.length === 4);
  expect(receiver.events.map(named)).toEqual([
    "pull team/app v1  HEAD",
    "pull team/app v1  GET",
    "pull team/app v1  GET",
    "pull team/app   GET",
    "pull team/app   GET",
  ]);
  const sizes = receiver.events.map(({ target }) => target.size);
  expect(new Set(sizes.slice(0, 4)).size).toBe(1);
  expect(receiver.events[4]?.target).toMatchObject({ digest: layers[0]!.digest, size: layers[0]!.size });
  expect(receiver.taken.every(({ headers }) => headers["x-registry-event-seq"] === undefined)).toBeTrue();
});

test("a server that is killed between a change and its delivery delivers after its start, once per id", async () => {
  const dataDir = await dataFolder();
  let isTaking = false;
  await using receiver = await Receiver.start(() => (isTaking ? 200 : "hangs"));
  const env = endpoints(receiver.url);
  const first = await startRegistry({ dataDir, env });
  for (const tag of ["v1", "v2", "v3"]) await pushImage(first.url, "team/app", tag);
  await until(() => receiver.tries.length > 0);
  await first.stop("SIGKILL");
  isTaking = true;
  await using second = await startRegistry({ dataDir, env });
  await pushImage(second.url, "team/app", "v4");
  await until(() => receiver.events.some(({ target }) => target.tag === "v4"));
  expect(receiver.events.map(({ target }) => target.tag).filter((tag) => tag !== undefined)).toEqual([
    "v1",
    "v2",
    "v3",
    "v4",
  ]);
  const ids = receiver.tries.map(({ event }) => event.id);
  expect(ids[0]).toBe(receiver.events[0]!.id); // the try of before the kill had the same
});
