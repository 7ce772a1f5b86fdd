/** Policies and protected tags of the settings, in the real program. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { basic, bearer, tokenFor } from "../auth/support/guarded-registry.ts";
import type { Headers } from "../auth/support/guarded-registry.ts";
import { imageIndex, OCI_INDEX } from "../support/content.ts";
import { makeDataFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import { refusedStart } from "../support/refused-start.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
let files = 0;

async function fileWith(settings: object): Promise<string> {
  const path = join(scratch, `config-${files++}.yml`);
  await writeFile(path, JSON.stringify(settings));
  return path;
}

async function serverWith(settings: object, dataDir: string = join(scratch, `data-${files}`)): Promise<Listening> {
  return await startListening({ words: ["serve", await fileWith(settings)], dataDir });
}

function put({ url }: Listening, reference: string, version: number, headers: Headers = {}): Promise<Response> {
  return fetch(`${url}/v2/team/app/manifests/${reference}`, {
    method: "PUT",
    headers: { ...headers, "content-type": OCI_INDEX },
    body: imageIndex([], { annotations: { version: String(version) } }),
  });
}

async function pullStatus({ url }: Listening, headers: Headers = {}): Promise<number> {
  return (await fetch(`${url}/v2/team/app/tags/list`, { headers })).status;
}

const EVERYBODY_PULLS = { who: ["everyone"], repositories: ["**"], actions: ["pull"] };

describe("policies", () => {
  test("are in force without any other setting: a user without a rule can only do what all may do", async () => {
    await using server = await serverWith({ policies: [EVERYBODY_PULLS] });
    expect(await pullStatus(server)).toBe(404);
    expect((await put(server, "v1", 1)).status).toBe(401);
    expect((await fetch(`${server.url}/v2/`)).headers.get("www-authenticate")).toStartWith("Bearer ");
  });

  test("come from the environment as well", async () => {
    await using server = await startListening({ env: { REGISTRY_POLICIES: "[]" } });
    expect(await pullStatus(server)).toBe(401);
  });

  test("do not go with tokens of another server, which stops the start", async () => {
    const jwks = join(scratch, "keys.json");
    await writeFile(jwks, JSON.stringify({ keys: [] }));
    const token = { realm: "https://auth.example.com", service: "x", issuer: "y", jwks };
    const path = await fileWith({ auth: { token }, policies: [EVERYBODY_PULLS] });
    expect(await refusedStart({ words: ["serve", path] })).toContain("policies and auth.token exclude each other");
  });

  for (const [what, rule, said] of [
    ["a name of an unknown kind", { ...EVERYBODY_PULLS, who: ["grp:dev"] }, "policies.0.who.0"],
    ["an action that there is not", { ...EVERYBODY_PULLS, actions: ["fly"] }, "policies.0.actions.0"],
    ["no repositories", { ...EVERYBODY_PULLS, repositories: [] }, "policies.0.repositories"],
    ["an unknown word", { ...EVERYBODY_PULLS, whom: ["x"] }, "policies.0"],
  ] as const) {
    test(`with ${what} stop the start`, async () => {
      const path = await fileWith({ policies: [rule] });
      expect(await refusedStart({ words: ["serve", path] })).toContain(said);
    });
  }

  test("that changed count at once, also for tokens that are out; keys outlive the server", async () => {
    const dataDir = join(scratch, "data-of-alice");
    const auth = { users: { enabled: true } };
    const alice = { who: ["alice"], repositories: ["team/*"], actions: ["pull", "push"] };
    await makeDataFolder(dataDir);
    await runProgram(dataDir, ["user", "add", "alice", "--password-stdin"], {}, "a long password");
    let headers: Headers = {};
    {
      await using before = await serverWith({ auth, policies: [alice] }, dataDir);
      const token = await tokenFor(before.url, ["repository:team/app:pull,push"], basic("alice", "a long password"));
      headers = bearer(token);
      expect((await put(before, "v1", 1, headers)).status).toBe(201);
    }
    {
      await using same = await serverWith({ auth, policies: [alice] }, dataDir);
      expect((await put(same, "v1", 2, headers)).status).toBe(201);
    }
    await using after = await serverWith({ auth, policies: [{ ...alice, actions: ["pull"] }] }, dataDir);
    expect(await pullStatus(after, headers)).toBe(200);
    expect((await put(after, "v1", 3, headers)).status).toBe(401);
  });
});

describe("protectedtags", () => {
  test("hold for clients, and not for the operator's own commands", async () => {
    const settings = { protectedtags: [{ repositories: ["team/*"], tags: ["v*"] }] };
    await using server = await serverWith(settings);
    expect((await put(server, "v1", 1)).status).toBe(201);
    expect((await put(server, "v1", 2)).status).toBe(403);
    expect((await put(server, "latest", 1)).status).toBe(201);
    expect((await put(server, "latest", 2)).status).toBe(201);
    const removed = await runProgram(server.dataDir, [
      "tag",
      "delete",
      "team/app:v1",
      "--config",
      await fileWith(settings),
    ]);
    expect(removed).toMatchObject({ exitCode: 0 });
    expect((await put(server, "v1", 2)).status).toBe(201);
  });
});
