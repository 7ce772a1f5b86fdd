/** `GET /api/v1/events`: who may read events, and how a reader goes on. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { createRegistry } from "../../src/create-registry.ts";
import { repositoryName } from "../../src/oci/repository-name.ts";
import { basic, startGuarded } from "./support/guarded-registry.ts";

setDefaultTimeout(30_000);

const EVENTS = { endpoints: [], readersMs: 3_600_000 };
const TEAM = repositoryName("team/app");

interface Page {
  readonly events: readonly {
    readonly cursor: string;
    readonly event: { readonly target: { readonly tag?: string } };
  }[];
  readonly next: string;
  readonly missed: boolean;
}

test("administrators read events by password; others, tokens and anonymous clients are refused", async () => {
  await using guarded = await startGuarded({
    accounts: [
      { identity: { kind: "user", name: "root", groups: ["admin"], generation: "1" }, password: "root's" },
      { identity: { kind: "user", name: "alice", groups: [], generation: "1" }, password: "alice's" },
    ],
    policies: [{ who: ["alice"], repositories: ["team/**"], actions: ["admin"] }],
    events: EVENTS,
  });
  const ask = (headers = {}): Promise<Response> => fetch(`${guarded.url}/api/v1/events`, { headers });
  expect((await ask(basic("root", "root's"))).status).toBe(200);
  expect((await ask(basic("alice", "alice's"))).status).toBe(403);
  expect((await ask()).status).toBe(401);
  const issued = await fetch(`${guarded.url}/token?service=x`, { headers: basic("root", "root's") });
  const { token } = (await issued.json()) as { token: string };
  expect((await ask({ authorization: `Bearer ${token}` })).status).toBe(401);
});

test("a reader goes on behind the cursor, gets each event once, and is told what it missed", async () => {
  await using registry = await createRegistry({ storage: "memory", events: EVENTS });
  const { url } = await registry.listen();
  const read = async (query: string): Promise<Page> =>
    (await (await fetch(`${url}/api/v1/events${query}`)).json()) as Page;
  expect(await read("")).toEqual({ events: [], next: "0", missed: false });
  for (const tag of ["v1", "v2"]) await pushImage(url, TEAM, tag);
  const tags: (string | undefined)[] = [];
  let pages = 0;
  for (let next = "0"; ; pages++) {
    const page = await read(`?after=${next}&limit=2`);
    if (page.events.length === 0) break;
    tags.push(...page.events.map(({ event }) => event.target.tag));
    next = page.next;
    expect(page.missed).toBe(false);
  }
  expect(tags.filter((tag) => tag !== undefined)).toEqual(["v1", "v2"]);
  expect(pages).toBe(Math.ceil(tags.length / 2));
  expect(await read("?after=999")).toEqual({ events: [], next: `${tags.length}`, missed: true });
  expect((await read("")).events.length).toBe(tags.length);
});

test("wrong parameters are refused, and without events the path is unknown", async () => {
  await using registry = await createRegistry({ storage: "memory", events: EVENTS });
  const statusOf = async (query: string): Promise<number> =>
    (await registry.fetch(new Request(`http://localhost/api/v1/events${query}`))).status;
  for (const query of ["?after=-1", "?after=x", "?after=1&after=2", "?limit=a", "?after=99999999999999999999"]) {
    expect(await statusOf(query)).toBe(400);
  }
  expect(await statusOf("?after=&limit=100000")).toBe(200);
  await using silent = await createRegistry({ storage: "memory" });
  expect((await silent.fetch(new Request("http://localhost/api/v1/events"))).status).toBe(404);
});
