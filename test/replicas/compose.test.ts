/** The cluster of deploy/compose, as processes with the same settings: images go through its proxy while servers are killed. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { PostgresServer } from "../postgres/support/postgres-server.ts";
import { BUCKET, KEYS, startS3 } from "../s3/support/s3-server.ts";
import { freePorts } from "../support/free-ports.ts";
import { Random } from "../support/random.ts";
import { ROOT } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import { Writer } from "./support/writer.ts";

setDefaultTimeout(120_000);

const COMPOSE = join(ROOT, "deploy/compose");
const NAMES = ["registry1", "registry2", "registry3"];

interface Compose {
  readonly services: Readonly<
    Record<string, { readonly healthcheck?: object; readonly volumes?: readonly string[]; readonly image: string }>
  >;
}

const scratch = await scratchFolder();
const postgres = await PostgresServer.start();
afterAll(() => postgres.end());
const s3 = await startS3();

test("the cluster has three servers, and everything that it mounts is there or is made", async () => {
  const { services } = parse(await readFile(join(COMPOSE, "compose.yml"), "utf8"), { merge: true }) as Compose;
  expect(Object.keys(services).toSorted()).toEqual([...NAMES, "postgres", "proxy", "s3"].toSorted());
  const made = await readFile(join(COMPOSE, "up"), "utf8");
  for (const [name, { volumes = [], healthcheck }] of Object.entries(services)) {
    expect({ name, isChecked: healthcheck !== undefined }).toEqual({ name, isChecked: name !== "proxy" });
    for (const [path = ""] of volumes.map((volume) => volume.split(":"))) {
      if (!path.startsWith("./")) continue;
      const isThere = path.startsWith("./secrets/")
        ? made.includes(path.slice(2))
        : await Bun.file(join(COMPOSE, path)).exists();
      expect({ path, isThere }).toEqual({ path, isThere: true });
    }
  }
});

test("the cluster serves pushes and pulls through its proxy while a server is killed and started again", async () => {
  const secrets = join(scratch, "secrets");
  const database = new URL(await postgres.createMigratedDatabase());
  await Bun.write(join(secrets, "database-password"), "the tests trust everybody");
  await Bun.write(
    join(secrets, "s3-credentials"),
    `[default]\naws_access_key_id = ${KEYS.accessKeyId}\naws_secret_access_key = ${KEYS.secretAccessKey}\n`,
  );
  const settings = (await readFile(join(COMPOSE, "config.yml"), "utf8"))
    .replace("postgres:5432/stowage", `${database.host}${database.pathname}`)
    .replace("http://s3:9000", s3.url)
    .replace("/run/secrets/", `${secrets}/`);
  expect(settings).toContain(`bucket: ${BUCKET}\n`);
  const config = join(scratch, "config.yml");
  await writeFile(config, settings);

  const [front = 0, ...ports] = await freePorts(1 + NAMES.length);
  const start = (port: number) =>
    startListening({
      words: ["serve", config],
      env: { REGISTRY_HTTP_ADDR: `127.0.0.1:${port}`, AWS_SHARED_CREDENTIALS_FILE: join(secrets, "s3-credentials") },
    });
  const servers = await Promise.all(ports.map(start));
  await using all = new AsyncDisposableStack();
  for (const server of servers) all.use(server);

  let proxy = (await readFile(join(COMPOSE, "haproxy.cfg"), "utf8")).replace("bind :5000", `bind 127.0.0.1:${front}`);
  for (const [at, name] of NAMES.entries()) proxy = proxy.replace(`${name}:5000`, `127.0.0.1:${ports[at]}`);
  const proxyConfig = join(scratch, "haproxy.cfg");
  await writeFile(proxyConfig, proxy);
  await chmod(scratch, 0o755);
  const haproxy = Bun.spawn(["haproxy", "-db", "-f", proxyConfig], { stdout: "ignore", stderr: "ignore" });
  all.defer(async () => {
    haproxy.kill("SIGKILL");
    await haproxy.exited;
  });
  const url = `http://127.0.0.1:${front}`;
  while (
    !(await fetch(`${url}/v2/`).then(
      ({ ok }) => ok,
      () => false,
    ))
  )
    await sleep(50);

  const writer = new Writer({ url, repository: "team/app", name: "w", random: new Random(1), sizes: [100, 400_000] });
  for (let image = 0; image < 3; image++) await writer.pushImage();
  const [victim] = servers;
  await victim?.[Symbol.asyncDispose]();
  for (let image = 0; image < 3; image++) await writer.pushImage();
  all.use(await start(ports[0] ?? 0));
  await writer.pushImage();
  expect(writer.images.length).toBe(7);
});
