/** The executable: the program with its runtime in one file, and nothing else of the project beside it. */
import { beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import manifest from "../../package.json";
import { buildExecutable, targetHere } from "../../tools/build-executable.ts";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const MIB = 1024 ** 2;
const COMMIT = "0123456789abcdef0123456789abcdef01234567";

const folder = await scratchFolder();
const program = join(folder, "stowage");

beforeAll(() => buildExecutable(targetHere(), program, { id: COMMIT, time: 0 }));

function run(...words: readonly string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([program, ...words], { cwd: folder });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

test("--version names the commit that it was built from", () => {
  const { stdout } = run("--version");
  expect(stdout).toStartWith(`stowage ${manifest.version} (commit ${COMMIT.slice(0, 12)}, database schema `);
});

test("serves with workers, from a settings file, and ends when it is told to", async () => {
  const settings = join(folder, "config.yml");
  await writeFile(settings, "version: 0.1\nlog: {formatter: text}\n");
  await using server = await startListening({ program, words: ["serve", settings], env: { REGISTRY_WORKERS: "2" } });
  await pushImage(server.url, "team/app", "v1");
  const data = ["--data", server.dataDir];
  expect((await fetch(`${server.url}/v2/team/app/manifests/v1`)).status).toBe(200);
  expect(run("repo", "list", ...data)).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("team/app") });
  expect(run("check", "--deep", ...data)).toMatchObject({ exitCode: 0 });
  expect(await server.stop()).toBe(0);
});

test.skipIf(process.platform !== "linux")(
  "serves with the runtime's limit of requests raised where the settings need it, or as it was set",
  async () => {
    const notifying = {
      REGISTRY_NOTIFICATIONS_ENDPOINTS: JSON.stringify([{ name: "hook", url: "http://127.0.0.1:9/" }]),
    };
    for (const [env, limit] of [
      [{}, undefined],
      [notifying, "8192"],
      [{ ...notifying, BUN_CONFIG_MAX_HTTP_REQUESTS: "300" }, "300"],
    ] as const) {
      await using server = await startListening({ program, env });
      const variables = (await readFile(`/proc/${server.pid}/environ`, "utf8")).split("\0"); // as it was started
      const set = variables.find((variable) => variable.startsWith("BUN_CONFIG_MAX_HTTP_REQUESTS="));
      expect(set).toBe(limit && `BUN_CONFIG_MAX_HTTP_REQUESTS=${limit}`);
      expect(await server.stop()).toBe(0);
    }
  },
);

test("its thread for checkpoints moves pages from the log into the database", async () => {
  await using server = await startListening({ program, env: { REGISTRY_STORAGE_INLINE: "1MiB" } });
  const database = join(server.dataDir, "registry.db");
  const before = (await stat(database)).size;
  for (let seed = 0; seed < 20; seed++) await pushBlob(server.url, "team/app", bytesOf(seed, MIB));
  // Without the thread all of it stays in the log until the server stops.
  while ((await stat(database)).size < before + 10 * MIB) await Bun.sleep(10);
});

test("a .env and a bunfig.toml in the folder that it is started in do not count", async () => {
  const elsewhere = await scratchFolder();
  await writeFile(join(elsewhere, ".env"), "REGISTRY_LOG_LEVEL=wrong\n");
  await writeFile(join(elsewhere, "bunfig.toml"), 'preload = ["./missing.ts"]\n');
  await using server = await startListening({ program, cwd: elsewhere });
  expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
});
