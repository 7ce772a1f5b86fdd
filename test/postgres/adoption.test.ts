/** Adoption of a tree of distribution with the metadata in PostgreSQL, by one server and by two. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createRegistry } from "../../src/create-registry.ts";
import { adoptionSuite, newTree, statusOf } from "../adoption/support/adoption-suite.ts";
import { startListening } from "../support/server-process.ts";
import { sharedServer } from "./support/postgres-server.ts";

setDefaultTimeout(120_000);

const NEVER = new AbortController().signal;

const urls = new Map<string, Promise<string>>();

/** The database for the tree in a folder. */
function urlFor(folder: string): Promise<string> {
  const url = urls.get(folder) ?? sharedServer().then((server) => server.createMigratedDatabase());
  urls.set(folder, url);
  return url;
}

adoptionSuite("PostgreSQL", async ({ root: folder }) => {
  return { folder, adopts: true, database: { url: await urlFor(folder), connections: 4 } };
});

test("a tree whose database is another one now is refused", async () => {
  const tree = newTree();
  tree.image("app", "1", ["v1"]);
  const open = (url: string) => createRegistry({ storage: { folder: tree.root, adopts: true, database: { url } } });
  {
    await using registry = await open(await urlFor(tree.root));
    await registry.adoptInBackground(NEVER);
  }
  const empty = await (await sharedServer()).createMigratedDatabase();
  expect(open(empty)).rejects.toThrow("belongs to another database");
});

test("two servers index a tree once, and one goes on when the other is killed", async () => {
  const tree = newTree();
  const IMAGES = 200;
  for (let at = 0; at < IMAGES; at++) tree.image(`team${at % 20}/app`, `seed ${at}`, [`v${at}`]);
  const env = { REGISTRY_DATABASE_URL: await urlFor(tree.root) };
  const first = await startListening({ dataDir: tree.root, env });
  await using second = await startListening({ dataDir: tree.root, env });
  await first.printed(/is being indexed/);
  first.signal("SIGKILL");
  await first.ended;
  expect((await fetch(`${second.url}/v2/team7/app/manifests/v7`)).status).toBe(200);
  await second.printed(/adoption is done/);
  await using registry = await createRegistry({
    storage: { folder: tree.root, database: { url: await urlFor(tree.root) } },
  });
  expect(await registry.adoption()).toMatchObject({ phase: "done", manifests: IMAGES, tags: IMAGES, findings: 0 });
  for (let at = 0; at < IMAGES; at += 47) {
    expect(await statusOf(registry, `team${at % 20}/app/manifests/v${at}`)).toBe(200);
  }
});
