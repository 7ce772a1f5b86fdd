/** `stowage events` and `stowage audit`, beside a running server and without one. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { Receiver } from "../../src/registry/events/testing/receiver.ts";
import { pushImage } from "../support/client.ts";
import { runProgram } from "../support/program.ts";
import { startRegistry } from "../support/registry.ts";
import { useRegistry } from "../support/use-registry.ts";

setDefaultTimeout(60_000);

async function until(isTrue: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isTrue())) await Bun.sleep(20);
}

function linesOf(text: string): readonly Record<string, unknown>[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

test("dead letters are listed, sent again with their ids while the server runs, and deleted", async () => {
  let isWilling = false;
  await using receiver = await Receiver.start(() => (isWilling ? 200 : 422));
  const endpoint = { name: "hook", url: receiver.url, threshold: 1, backoff: "50ms", ignore: { actions: ["pull"] } };
  const env = { REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([endpoint]) };
  await using registry = await startRegistry({ env });
  const run = async (...words: string[]) => await runProgram(registry.dataDir, ["events", ...words], env);
  const dead = async () => linesOf((await run("list", "--json")).stdout);

  await pushImage(registry.url, "team/app", "v1"); // three events
  await until(() => receiver.tries.length === 3);
  await until(async () => (await dead()).length === 3);
  expect(linesOf((await run("status", "--json")).stdout)).toEqual([{ endpoint: "hook", pending: 0, dead: 3 }]);
  const letters = await dead();
  expect(letters[2]).toMatchObject({
    endpoint: "hook",
    reason: expect.stringContaining("422"),
    due: false,
    event: { action: "push", target: { repository: "team/app", tag: "v1" } },
  });
  expect((await run("list", "--endpoint", "hook")).stdout).toContain("push team/app:v1");

  isWilling = true;
  const [first, , third] = letters.map(({ id }) => String(id));
  expect(await run("retry", third ?? "")).toMatchObject({ exitCode: 0 });
  await until(() => receiver.taken.length === 1);
  const tried = receiver.tries.map(({ event }) => event.id);
  expect(tried.filter((id) => id === receiver.taken[0]?.event.id)).toHaveLength(2);
  expect(await run("discard", first ?? "")).toMatchObject({ exitCode: 0, stdout: "1 dead letter deleted\n" });
  expect(await run("retry", "--all")).toMatchObject({ exitCode: 0 });
  await until(() => receiver.taken.length === 2);
  expect(receiver.taken[1]?.event.id).toBe(String(letters[1]?.["event"] && (letters[1]["event"] as { id: string }).id));
});

test("events refuses ids that are none, ids that are not there, and words too many, and changes nothing", async () => {
  await using registry = await startRegistry();
  for (const words of [["retry", "x"], ["retry", "99"], ["discard"]]) {
    const { exitCode, stdout, stderr } = await runProgram(registry.dataDir, ["events", ...words]);
    expect([words, exitCode, stdout]).toEqual([words, 1, ""]);
    expect(stderr).toStartWith("stowage: ");
    expect(stderr).not.toContain("unexpected error");
  }
});

const audited = useRegistry({ env: { REGISTRY_AUDIT_ENABLED: "true" } });

test("audit lists changes, the newest first, by repository, action, name, time and count", async () => {
  const { url, dataDir } = audited();
  const image = await pushImage(url, "team/app", "v1");
  await pushImage(url, "team/other", "v2");
  await runProgram(dataDir, ["tag", "delete", "team/app:v1"], { REGISTRY_AUDIT_ENABLED: "true" });
  const audit = async (...words: string[]) => {
    const ended = await runProgram(dataDir, ["audit", "--json", ...words], { REGISTRY_AUDIT_ENABLED: "true" });
    expect(ended.exitCode).toBe(0);
    return linesOf(ended.stdout);
  };
  const all = await audit();
  expect(all[0]).toMatchObject({ action: "operate", command: "tag delete team/app:v1" });
  expect(all.map(({ id }) => Number(id))).toEqual(all.map((_, at) => all.length - at));
  const ofApp = await audit("--repo", "team/app", "--action", "push");
  expect(ofApp.map(({ object }) => object)).toEqual(["manifest", "blob", "blob"]);
  expect(ofApp[0]).toMatchObject({
    who: "anonymous",
    address: "127.0.0.1",
    digest: image.digest,
    tags: ["v1"],
    rule: expect.any(String),
  });
  expect(await audit("--limit", "2")).toEqual(all.slice(0, 2));
  expect(await audit("--who", "mallory", "--since", "1h")).toEqual([]);
  expect(await audit("--since", "2100-01-01T00:00:00Z")).toEqual([]);
  const table = await runProgram(dataDir, ["audit", "--repo", "team/app"], { REGISTRY_AUDIT_ENABLED: "true" });
  expect(table.stdout).toContain("push manifest team/app:v1");
});

test("audit refuses wrong options, and says when changes of clients are not kept", async () => {
  const { dataDir } = audited();
  for (const words of [
    ["--action", "fly"],
    ["--since", "soon"],
  ]) {
    const { exitCode, stdout } = await runProgram(dataDir, ["audit", ...words]);
    expect([words, exitCode, stdout]).toEqual([words, 1, ""]);
  }
  expect((await runProgram(dataDir, ["audit"])).stderr).toContain("audit.enabled");
});
