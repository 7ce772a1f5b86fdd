/** Who may use which operation of the API, and what administrators do with it. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import { OPERATIONS } from "../../src/server/api/api.ts";
import { API_RESOURCES, apiMethod } from "../../src/server/api-resources.ts";
import { basic, startGuarded } from "../auth/support/guarded-registry.ts";
import { ListedAccounts } from "../../src/auth/testing/listed-accounts.ts";
import { collect } from "../../src/lib/collect.ts";
import { repositoryName } from "../../src/oci/repository-name.ts";
import { tag } from "../../src/oci/tag.ts";
import { digestOf, imageIndex } from "../support/content.ts";
import { ApiClient } from "./support/api-client.ts";
import { pushImage } from "./support/content.ts";

setDefaultTimeout(30_000);

const ACCOUNTS = [
  { identity: { kind: "user", name: "root", groups: ["admin"], generation: "1" }, password: "root's" },
  { identity: { kind: "user", name: "alice", groups: [], generation: "1" }, password: "alice's" },
] as const;

/** The path of a resource in a repository that alice may not see. */
function pathOf(path: string): string {
  return path
    .replace("{name}", "other/app")
    .replace("{tag}", "v1")
    .replace("{digest}", digestOf(""))
    .replaceAll(/\{\w+\}/g, "one");
}

async function namesFor(client: ApiClient, query = ""): Promise<string[]> {
  return (await client.get(`/repositories${query}`)).body.items.map(({ name }: { name: string }) => name);
}

test("each operation requires its permission: 401 without credentials, 403 without the permission", async () => {
  await using guarded = await startGuarded({
    accounts: ACCOUNTS,
    policies: [{ who: ["alice"], repositories: ["team/**"], actions: ["pull"] }],
  });
  const [anonymous, alice] = [
    new ApiClient(guarded.registry),
    new ApiClient(guarded.registry, basic("alice", "alice's")),
  ];
  for (const { resource, method } of OPERATIONS) {
    if (resource === "events") continue; // not kept here
    const path = pathOf(API_RESOURCES[resource].path);
    const requires = apiMethod(resource, method)?.requires;
    const isOpen = requires === "nothing" || requires === "anyone";
    const body = method === "GET" || method === "DELETE" ? {} : { body: {} };
    const asked = `${method} ${path}`;
    expect([asked, (await anonymous.send(method, path, body)).status]).toEqual([asked, isOpen ? 200 : 401]);
    const expected = isOpen || requires === "catalog" ? 200 : 403;
    expect([asked, (await alice.send(method, path, body)).status]).toEqual([asked, expected]);
  }
});

test("lists have what the client may pull, and wrong credentials are refused where none are needed", async () => {
  await using guarded = await startGuarded({
    accounts: ACCOUNTS,
    policies: [{ who: ["alice"], repositories: ["team/**"], actions: ["pull"] }],
  });
  const root = new ApiClient(guarded.registry, basic("root", "root's"));
  const alice = new ApiClient(guarded.registry, basic("alice", "alice's"));
  for (const name of ["team/app", "other/app"]) {
    const payload = JSON.stringify({
      schemaVersion: 2,
      manifests: [],
      mediaType: "application/vnd.oci.image.index.v1+json",
    });
    const { registry } = guarded;
    await registry.namespace.repository(name as never).manifests.put(Buffer.from(payload));
  }
  expect(await namesFor(alice)).toEqual(["team/app"]);
  expect(await namesFor(alice, "?sort=-size")).toEqual(["team/app"]);
  expect(await namesFor(root)).toEqual(["other/app", "team/app"]);
  expect((await alice.get("/me")).body).toMatchObject({ name: "alice", isAdministrator: false });
  expect((await new ApiClient(guarded.registry, basic("alice", "wrong")).get("/me")).status).toBe(401);
  expect((await alice.get("/repositories/team/app")).body.permissions).toEqual(["pull"]);
  const copy = { body: { from: "other/app", reference: "v1" } };
  expect((await alice.send("POST", "/repositories/team/app/-/copies", copy)).status).toBe(403);
});

test("administrators manage users and tokens, and ask what is allowed", async () => {
  await using guarded = await startGuarded({ accounts: ACCOUNTS });
  const root = new ApiClient(guarded.registry, basic("root", "root's"));
  await guarded.registry.users.add("bob", "$hash", []);
  expect((await root.send("PATCH", "/users/bob", { body: { groups: ["qa", "dev", "qa"] } })).body.groups).toEqual([
    "dev",
    "qa",
  ]);
  expect((await root.get("/users")).body.items).toMatchObject([{ name: "bob", groups: ["dev", "qa"] }]);
  expect((await root.send("PATCH", "/users/none", { body: { groups: [] } })).status).toBe(404);
  expect((await root.send("PATCH", "/users/bob", { body: { groups: ["a b"] } })).status).toBe(400);
  expect((await root.send("DELETE", "/users/bob")).status).toBe(200);
  const wanted = {
    robot: "ci",
    repositories: ["team/**"],
    actions: ["pull", "push"],
    expiresAt: "2999-01-01T00:00:00Z",
  };
  const made = await root.send("POST", "/tokens", { body: wanted });
  expect(made.body.token).toStartWith("stw_");
  expect((await root.get("/tokens")).body.items).toMatchObject([{ id: made.body.id, robot: "ci" }]);
  for (const wrong of [
    { robot: "everyone" },
    { repositories: ["Team"] },
    { actions: [] },
    { expiresAt: "2000-01-01T00:00:00Z" },
  ]) {
    expect((await root.send("POST", "/tokens", { body: { ...wanted, ...wrong } })).status).toBe(400);
  }
  expect((await root.send("DELETE", `/tokens/${made.body.id}`)).status).toBe(200);
  expect((await root.send("DELETE", `/tokens/${made.body.id}`)).status).toBe(404);
  const asked = await root.get("/policies/explain?who=anonymous&action=pull&repository=team/app");
  expect(asked.body).toMatchObject({ allowed: false });
});

test("counts of manifests that reference a layer are for clients that may pull from all repositories", async () => {
  await using guarded = await startGuarded({
    accounts: ACCOUNTS,
    policies: [
      { who: ["root"], repositories: ["**"], actions: ["pull", "push"] },
      { who: ["alice"], repositories: ["team/**"], actions: ["pull"] },
    ],
  });
  const [root, alice] = [basic("root", "root's"), basic("alice", "alice's")];
  const asRoot = {
    fetch: async (request: Request) => {
      for (const [name, value] of Object.entries(root)) request.headers.set(name, value);
      return await guarded.registry.fetch(request);
    },
  };
  const image = await pushImage(asRoot, "team/app", { config: "{}", layers: ["layer"], tag: "v1" });
  const path = `/repositories/team/app/-/manifests/${image.digest}/image`;
  const countFor = async (headers: typeof root): Promise<unknown> =>
    (await new ApiClient(guarded.registry, headers).get(path)).body.lines[0].layer.manifests;
  expect(await countFor(root)).toBe(1);
  expect(await countFor(alice)).toBeNull();
});

test("the audit names the rule that allowed a deletion", async () => {
  await using registry = await createRegistry({
    storage: "memory",
    access: {
      kind: "accounts",
      authenticator: () => new ListedAccounts(ACCOUNTS),
      policies: [{ who: ["alice"], repositories: ["team/**"], actions: ["delete"] }],
    },
    audit: { ageMs: 3_600_000, rows: 100 },
  });
  const payload = Buffer.from(imageIndex([]));
  await registry.namespace.repository(repositoryName("team/app")).manifests.put(payload, { tags: [tag("v1")] });
  const alice = new ApiClient(registry, basic("alice", "alice's"));
  const body = { tags: [{ name: "v1" }] };
  expect((await alice.send("POST", "/repositories/team/app/-/deletions", { body })).status).toBe(200);
  const [last] = await collect(registry.auditRecords());
  expect(last).toMatchObject({ who: "alice", rule: "policies.0 (alice: delete on team/**)" });
});

test("without a login no accounts are changed, and quotas show what is used", async () => {
  await using registry = await createRegistry({ storage: "memory", quotas: [{ prefix: "*", bytes: 1000 }] });
  const api = new ApiClient(registry);
  const body = { robot: "ci", repositories: ["**"], actions: ["admin"] };
  expect((await api.send("POST", "/tokens", { body })).status).toBe(409);
  expect((await api.send("PATCH", "/users/root", { body: { groups: ["admin"] } })).status).toBe(409);
  expect((await api.send("DELETE", "/users/root")).status).toBe(409);
  const { id } = await registry.robots.create("ci", [{ repositories: "**", actions: ["pull"] }], undefined);
  expect((await api.send("DELETE", `/tokens/${id}`)).status).toBe(409);
  expect((await api.get("/quotas")).body.items).toMatchObject([{ prefix: "*", limits: { bytes: 1000, tags: null } }]);
});
