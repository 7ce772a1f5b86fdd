/** What the documents show of a console is run here, command by command, and prints what stands there. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, mkdtemp, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { greeting } from "../../src/cli/greeting.ts";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import {
  DOCKER_MANIFEST,
  OCI_CONFIG,
  OCI_LAYER,
  bytesOf,
  descriptorOf,
  digestOf,
  imageManifest,
} from "../support/content.ts";
import { DOCUMENTS, ROOT, codeBlocksIn, readDocument } from "../support/markdown.ts";
import type { CodeBlock } from "../support/markdown.ts";
import { WORKERS } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(120_000);

const scratch = await scratchFolder();

/** Where the commands of a block run: a folder with `bin/stowage`, `data` and what stands below `/etc` and `/var`. */
interface Place {
  readonly folder: string;
  readonly dataDir: string;
  /** What the documents have, and what is there instead; applied to commands, and to what they are to print. */
  readonly replaced: Map<string, string>;
}

type Scenario = (place: Place) => Promise<AsyncDisposable | undefined>;

const LARGE = sortedBehind(digestOf("{}"));

/** What has to be there before the first command of a block, by that command. */
const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "curl http://localhost:5000/v2/_catalog": async ({ dataDir, replaced }) => {
    const server = await startListening({ dataDir });
    replaced.set("http://localhost:5000", server.url);
    for (const name of ["busybox", "copies/busybox", "team/busybox"]) await pushImage(server.url, name, "latest");
    return server;
  },
  "curl -s http://127.0.0.1:5001/metrics | grep ^stowage_build_info": async ({ dataDir, replaced }) => {
    const env = { REGISTRY_HTTP_DEBUG_ADDR: "127.0.0.1:0", REGISTRY_HTTP_DEBUG_PROMETHEUS_ENABLED: "true" };
    const server = await startListening({ dataDir, env });
    replaced.set("http://127.0.0.1:5001", /"debugUrl":"([^"]+)"/.exec(server.output())?.[1] ?? "");
    return server;
  },
  "find data/blobs -type f": withBusybox,
  "sha256sum data/blobs/sha256/5b/5b8bda00*": withBusybox,
  "bin/stowage cat busybox:latest": withBusybox,
  "bin/stowage gc /etc/stowage/config.yml --dry-run --grace 0": withTwoBlobs,
  "bin/stowage gc /etc/stowage/config.yml": withTwoBlobs,
  "bin/stowage backup /var/backups/stowage-1 --config /etc/stowage/config.yml": withTwoBlobs,
  "bin/stowage check /etc/stowage/config.yml --deep": async ({ dataDir, replaced }) => {
    replaced.set("b7fed5e1c30b540f7f1cc2df08fc486ed81f8fd57f6105769cd9a971a3104626", hexOf(LARGE));
    await using server = await startListening({ dataDir });
    for (const bytes of ["{}", LARGE]) await pushBlob(server.url, "team/app", bytes);
    const body = imageManifest(descriptorOf(OCI_CONFIG, "{}"), [descriptorOf(OCI_LAYER, LARGE)]);
    expect((await putManifest(server.url, "team/app", "v1", body)).status).toBe(201);
    await server.stop();
    const [file = ""] = await filesBelow(join(dataDir, "blobs"));
    const changed = new Uint8Array(await Bun.file(file).arrayBuffer());
    changed[0] = (changed[0] ?? 0) ^ 1;
    await Bun.write(file, changed);
    return undefined;
  },
  "bin/stowage config check /etc/stowage/config.yml": async ({ folder }) => {
    await writeFile(join(folder, "etc", "stowage", "config.yml"), DISTRIBUTIONS_FILE);
    return undefined;
  },
  "bin/stowage serve config.yml": async ({ folder }) => {
    await writeFile(join(folder, "config.yml"), "http:\n  adr: 127.0.0.1:5000\n");
    return undefined;
  },
};

/** As the image of distribution has it. */
const DISTRIBUTIONS_FILE = `version: 0.1
log:
  fields:
    service: registry
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: /var/lib/registry
http:
  addr: :5000
health:
  storagedriver:
    enabled: true
`;

/** An image whose layer is an archive of a program, as the README pushes one. */
async function withBusybox({ dataDir, folder, replaced }: Place): Promise<undefined> {
  const tree = join(folder, "tree");
  await mkdir(tree);
  await writeFile(join(tree, "busybox"), bytesOf("busybox", 100_000));
  await Bun.$`tar -czf ${join(folder, "layer.tgz")} -C ${tree} .`.quiet();
  const layer = new Uint8Array(await Bun.file(join(folder, "layer.tgz")).arrayBuffer());
  await using server = await startListening({ dataDir });
  for (const bytes of ["{}", layer]) await pushBlob(server.url, "busybox", bytes);
  const { digest, size } = descriptorOf("", layer);
  const config = descriptorOf("application/vnd.docker.container.image.v1+json", "{}");
  const layers = [{ mediaType: "application/vnd.docker.image.rootfs.diff.tar.gzip", digest, size }];
  const manifest = JSON.stringify({ schemaVersion: 2, mediaType: DOCKER_MANIFEST, config, layers }, null, 3);
  expect((await putManifest(server.url, "busybox", "latest", manifest, DOCKER_MANIFEST)).status).toBe(201);
  replaced.set("5b8bda00c869bb9bf4c25f68a629d299cac8af9eaf1898264b848ef1250c914e", digest.slice("sha256:".length));
  replaced.set("80f221bc283256b3fc48bad8963cf3d17c00b9d3c963c698818f72b7a83b5975", hexOf(manifest));
  await server.stop();
  return undefined;
}

/** Two blobs that no manifest needs: one in the database, and one in a file. */
async function withTwoBlobs({ dataDir, replaced }: Place): Promise<undefined> {
  replaced.set("b7fed5e1c30b540f7f1cc2df08fc486ed81f8fd57f6105769cd9a971a3104626", hexOf(LARGE));
  await using server = await startListening({ dataDir });
  for (const bytes of ["{}", LARGE]) await pushBlob(server.url, "team/app", bytes);
  await server.stop();
  return undefined;
}

describe("a console in the documents", () => {
  for (const document of DOCUMENTS) {
    const blocks = codeBlocksIn(readDocument(document)).filter(({ language }) => language === "console");
    for (const block of blocks) {
      test(`prints what stands there: ${document}:${block.line}`, async () => {
        const place = await makePlace();
        const steps = stepsOf(block);
        const prepare = SCENARIOS[steps[0]?.command ?? ""];
        if (!prepare) throw new Error(`this file has no scenario for a block that begins with: ${steps[0]?.command}`);
        await using _running = (await prepare(place)) ?? { [Symbol.asyncDispose]: async () => {} };
        for (const { command, printed } of steps) {
          const found = await run(inPlace(command, place), place);
          expect([command, found]).toEqual([command, expect.stringMatching(patternOf(inPlace(printed, place)))]);
        }
      });
    }
  }
});

test("the greeting in the README is that of the program", () => {
  const block = codeBlocksIn(readDocument("README.md")).find(({ text }) => text.startsWith("Stowage "));
  const greeted = greeting({
    url: "http://127.0.0.1:5000",
    publicUrl: undefined,
    debugUrl: undefined,
    dataFolder: "/home/me/stowage/data",
    guarded: false,
    sendsSecrets: false,
    behindProxy: false,
  });
  expect(block?.text.trim()).toBe(greeted.trim());
});

test("the lines for a person in the README are those of the program", async () => {
  const block = codeBlocksIn(readDocument("README.md")).find(({ text }) => text.includes("INFO: POST 202"));
  await using server = await startListening({ env: { REGISTRY_LOG_FORMATTER: "text" } });
  await pushImage(server.url, "busybox", "latest");
  await server.printed(/PUT 201 \/v2\/busybox\/manifests\/latest/);
  await server.stop();
  for (const entry of (block?.text ?? "").split(/^(?=\[)/m)) {
    const anyClient = entry.replace(/[\d.]+ ms 127\.0\.0\.1 .*/, "… ms 127.0.0.1 …");
    expect(server.output()).toMatch(patternOf(anyClient, { anchored: false }));
  }
});

async function makePlace(): Promise<Place> {
  const folder = await mkdtemp(join(scratch, "place-"));
  await mkdir(join(folder, "etc", "stowage"), { recursive: true });
  await mkdir(join(folder, "var", "backups"), { recursive: true });
  await mkdir(join(folder, "bin"));
  await symlink(join(ROOT, "bin", "stowage"), join(folder, "bin", "stowage"));
  const dataDir = join(folder, "data");
  await writeFile(
    join(folder, "etc", "stowage", "config.yml"),
    `http:\n  addr: 127.0.0.1:0\nstorage:\n  filesystem:\n    rootdirectory: ${dataDir}\n`,
  );
  const replaced = new Map([
    ["/etc/stowage/", join(folder, "etc", "stowage/")],
    ["/var/backups/", join(folder, "var", "backups/")],
  ]);
  return { folder, dataDir, replaced };
}

/** Runs a command line as a shell does and gives everything that it prints. */
async function run(command: string, { folder }: Place): Promise<string> {
  const quiet = command.replace(/^curl /, "curl --silent "); // at a terminal it shows no progress of itself
  const child = Bun.spawn(["sh", "-c", `{ ${quiet}\n} 2>&1`], {
    cwd: folder,
    env: { PATH: process.env["PATH"] ?? "", REGISTRY_WORKERS: WORKERS },
    stdin: "ignore",
    stdout: "pipe",
  });
  const text = await child.stdout.text();
  await child.exited;
  return text;
}

interface Step {
  readonly command: string;
  readonly printed: string;
}

function stepsOf({ text }: CodeBlock): readonly Step[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((step) => {
      const [command = "", ...lines] = step.split("\n");
      return { command, printed: lines.join("\n") };
    });
}

/** With what is there instead of what the documents have: paths, addresses, and digests, also where they are cut off. */
function inPlace(text: string, { replaced }: Place): string {
  let result = text;
  for (const [documented, actual] of replaced) {
    if (!/^[0-9a-f]{64}$/.test(documented)) result = result.replaceAll(documented, actual);
    else {
      const start = documented.slice(0, 8);
      result = result
        .replaceAll(new RegExp(`/${start.slice(0, 2)}/(?=${start})`, "g"), `/${actual.slice(0, 2)}/`)
        .replaceAll(new RegExp(`${start}[0-9a-f]*`, "g"), (found) => actual.slice(0, found.length));
    }
  }
  return result;
}

/** What differs from run to run, and `…` for anything. */
const KINDS: readonly RegExp[] = [
  /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/, // an id
  /\d{4}-\d\d-\d\dT[\d:.]+Z/,
  /\[\d\d:\d\d:\d\d\]/,
  /(?<=duration: )[\d.]+/,
  /(?<=useragent: )"[^"]*"/,
];

/** Matches a text that differs from `text` in nothing else than what differs from run to run. */
function patternOf(text: string, { anchored = true } = {}): RegExp {
  const variable = new RegExp(`(${[...KINDS, /…/].map(({ source }) => source).join("|")})`);
  const pattern = text
    .trimEnd()
    .split(variable)
    .map((part, at) => (at % 2 === 0 ? RegExp.escape(part) : (kindOf(part)?.source ?? "[\\s\\S]*?")))
    .join("");
  return new RegExp(anchored ? `^${pattern}\\s*$` : pattern);
}

function kindOf(part: string): RegExp | undefined {
  return KINDS.find(({ source }) => new RegExp(`^(?:${source.replace(/^\(\?<=.*?\)/, "")})$`).test(part));
}

/** 40,000 bytes whose digest is behind another one in order. */
function sortedBehind(digest: string): Uint8Array<ArrayBuffer> {
  for (let seed = 0; ; seed++) {
    const bytes = bytesOf(seed, 40_000);
    if (digestOf(bytes) > digest) return bytes;
  }
}

function hexOf(bytes: Uint8Array | string): string {
  return digestOf(bytes).slice("sha256:".length);
}

async function filesBelow(folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
