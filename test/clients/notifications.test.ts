/** Notifications beside those of distribution: both are used alike by crane, and their receivers get the same events. */
import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { goPeer } from "../../bench/peers/programs.ts";
import { Receiver } from "../../src/registry/events/testing/receiver.ts";
import { pushBlob } from "../support/client.ts";
import { OCI_MANIFEST } from "../support/content.ts";
import { freePorts } from "../support/free-ports.ts";
import { startRegistry } from "../support/registry.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { Client } from "./support/client.ts";
import { writeSmallLayout } from "./support/oci-layout.ts";
import { startDaemon, throwWhenEnded } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { until } from "./support/until.ts";

/** What differs from one registry to the next, or from one run to the next. */
const DIFFERENT: readonly (readonly [RegExp, string])[] = [
  [/"id": "[0-9a-f-]{36}"/g, '"id": "ID"'],
  [/"timestamp": "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z"/g, '"timestamp": "TIME"'],
  [/"addr": "127\.0\.0\.1(?::\d+)?"/g, '"addr": "CLIENT"'], // distribution has the client's port, too
  [/"addr": "[^"]+:\d+"/g, '"addr": "SERVER"'],
  [/127\.0\.0\.1:\d+/g, "HOST"],
  [/"instanceID": "[0-9a-f-]{36}"/g, '"instanceID": "INSTANCE"'],
];

function normalized(body: string): string {
  return DIFFERENT.reduce((text, [pattern, word]) => text.replaceAll(pattern, word), body);
}

const notifications = (url: string): object => ({
  events: { includereferences: true },
  endpoints: [{ name: "hook", url, timeout: "2s", threshold: 5, backoff: "1s" }],
});

/** Pushes, tags, mounts, pulls and deletes. */
async function use(name: string, receiver: Receiver): Promise<void> {
  await using crane = await Client.of("crane", { name });
  for (const image of ["a", "b"]) {
    await writeSmallLayout(`notifications ${image}`, crane.file(image));
    await crane.run("push", crane.file(image), `${name}/team/app:${image}`);
  }
  await crane.run("tag", `${name}/team/app:a`, "stable");
  const images = ["a", "b"].flatMap((image) => ["--manifest", `${name}/team/app:${image}`]);
  await crane.run("index", "append", ...images, "--tag", `${name}/team/app:multi`);
  await crane.run("copy", `${name}/team/app:a`, `${name}/team/fork:a`);
  await crane.run("digest", `${name}/team/app:b`);
  await crane.run("pull", `${name}/team/app:b`, crane.file("pulled.tar"));
  const digest = await crane.says("digest", `${name}/team/fork:a`);
  // The references of a pull are read when it is delivered.
  await until("the pull arrives", async () =>
    receiver.events.some(({ action, target }) => action === "pull" && target.repository === "team/fork"),
  );
  await crane.run("delete", `${name}/team/fork@${digest}`);
  const app = new RepositoryClient(`http://${name}`, "team/app");
  await (await app.send("GET", "manifests/b", { headers: { accept: OCI_MANIFEST, "user-agent": "<x> & y" } })).bytes();
  await app.delete("manifests/multi");
}

/** The bodies that a receiver got for all of that, in an order of their own: crane sends blobs side by side. */
async function bodiesFrom(receiver: Receiver, name: string): Promise<readonly string[]> {
  await use(name, receiver);
  // Pushes and pulls are delivered in their order each: the last ones come last.
  const url = `http://${name}`;
  const digest = await pushBlob(url, "last", "the last blob");
  await (await new RepositoryClient(url, "last").get(`blobs/${digest}`)).bytes();
  await until("the last events arrive", async () =>
    ["push", "pull"].every((action) =>
      receiver.events.some((event) => event.action === action && event.target.repository === "last"),
    ),
  );
  return receiver.taken.map(({ body }) => normalized(body)).toSorted();
}

test("the same use by crane gives the same notifications as distribution, byte for byte", async () => {
  await using folder = await makeScratchFolder();
  await using theirs = await Receiver.start();
  await using ours = await Receiver.start();
  const settings = join(folder.path, "config.json");
  const [port = 0] = await freePorts(1);
  const name = `127.0.0.1:${port}`;
  await writeFile(
    settings,
    JSON.stringify({
      version: 0.1,
      storage: { filesystem: { rootdirectory: join(folder.path, "theirs") }, delete: { enabled: true } },
      http: { addr: name },
      notifications: notifications(theirs.url),
    }),
  );
  let expected: readonly string[];
  {
    const program = (await goPeer("distribution")) as `/${string}`;
    await using distribution = startDaemon(program, ["serve", settings], { OTEL_TRACES_EXPORTER: "none" });
    await until("distribution answers", async () => {
      throwWhenEnded("distribution", distribution);
      return (await fetch(`http://${name}/v2/`)).ok;
    });
    expected = await bodiesFrom(theirs, name);
  }
  await using stowage = await startRegistry({
    env: {
      REGISTRY_NOTIFICATIONS_EVENTS_INCLUDEREFERENCES: "true",
      REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([{ name: "hook", url: ours.url }]),
    },
  });
  const actual = await bodiesFrom(ours, new URL(stowage.url).host);
  expect(actual).toEqual([...expected]);
  expect(ours.taken[0]?.headers["content-type"]).toBe(theirs.taken[0]?.headers["content-type"]);
});
