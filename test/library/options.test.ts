/** Options that a registry has from its settings, and that may change while it is open. */
import { expect, test } from "bun:test";
import type { Rule } from "../../src/auth/policy.ts";
import { createRegistry } from "../../src/create-registry.ts";
import { pushImage, putManifest } from "../support/client.ts";
import { descriptorOf } from "../support/content.ts";

const INDEX = "application/vnd.oci.image.index.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";

test("limits.classes refuses manifests of other classes with DENIED, and takes an index", async () => {
  await using registry = await createRegistry({ storage: "memory", limits: { classes: ["image"] } });
  const { url } = await registry.listen();
  const { digest, body } = await pushImage(url, "team/app", "latest");
  const chart = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: descriptorOf("application/vnd.cncf.helm.config.v1+json", "{}"),
    layers: [],
  });
  const refused = await putManifest(url, "team/app", "chart", chart, MANIFEST);
  expect([refused.status, await refused.json()]).toEqual([
    403,
    { errors: [expect.objectContaining({ code: "DENIED", message: expect.stringContaining("policy.repository") })] },
  ]);
  const manifests = [{ mediaType: MANIFEST, digest, size: body.length }];
  const index = JSON.stringify({ schemaVersion: 2, mediaType: INDEX, manifests });
  expect((await putManifest(url, "team/app", "index", index, INDEX)).status).toBe(201);
});

test("limits.mayBeMissing accepts an index without the manifests of some platforms", async () => {
  const limits = { mayBeMissing: (platform: { os: string } | undefined) => platform?.os !== "linux" };
  await using registry = await createRegistry({ storage: "memory", limits });
  const { url } = await registry.listen();
  const index = (os: string): string =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: INDEX,
      manifests: [{ ...descriptorOf(MANIFEST, os), platform: { architecture: "amd64", os } }],
    });
  expect((await putManifest(url, "team/app", "windows", index("windows"), INDEX)).status).toBe(201);
  expect((await putManifest(url, "team/app", "linux", index("linux"), INDEX)).status).toBe(400);
});

test("pages bound the lists that clients ask for", async () => {
  await using registry = await createRegistry({ storage: "memory", pages: { catalog: 1, tags: 2 } });
  const { url } = await registry.listen();
  for (const name of ["a", "b"]) for (const tag of ["1", "2", "3"]) await pushImage(url, name, tag);
  for (const query of ["", "?n=1000"]) {
    const catalog = await fetch(`${url}/v2/_catalog${query}`);
    expect(await catalog.json()).toEqual({ repositories: ["a"] });
    expect(catalog.headers.get("link")).toContain("n=1");
  }
  expect(await (await fetch(`${url}/v2/a/tags/list?n=1000`)).json()).toEqual({ name: "a", tags: ["1", "2"] });
  expect(await (await fetch(`${url}/v2/a/tags/list`)).json()).toEqual({ name: "a", tags: ["1", "2", "3"] });
});

test("reconfigure puts limits and policies in force for sessions that are there already", async () => {
  await using registry = await createRegistry({
    storage: "memory",
    access: {
      kind: "accounts",
      authenticator: () => ({ authenticate: async () => undefined, isCurrent: () => true }),
      policies: anonymousMay("pull", "push"),
    },
  });
  const { url } = await registry.listen();
  const { digest } = await pushImage(url, "team/app", "latest");
  const asked = async (): Promise<readonly number[]> => {
    const pull = await fetch(`${url}/v2/team/app/manifests/${digest}`);
    const push = await fetch(`${url}/v2/team/app/blobs/uploads/`, { method: "POST" });
    return [pull.status, push.status];
  };
  expect(await asked()).toEqual([200, 202]);
  registry.reconfigure({ policies: anonymousMay("pull") });
  expect(await asked()).toEqual([200, 401]);
  registry.reconfigure({ policies: anonymousMay("push"), readOnly: true });
  expect(await asked()).toEqual([401, 405]);
  registry.reconfigure({ policies: anonymousMay("pull", "push"), limits: { openUploads: 1 } });
  expect(await asked()).toEqual([200, 429]);
  registry.reconfigure({ policies: anonymousMay("pull", "push") });
  expect(await asked()).toEqual([200, 202]);
});

function anonymousMay(...actions: Rule["actions"]): readonly Rule[] {
  return [{ who: ["anonymous"], repositories: ["**"], actions }];
}
