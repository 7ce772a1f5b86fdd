/** An S3 server of its own for the tests of a file: versitygw on a temporary folder. */
import { afterAll } from "bun:test";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { S3Options } from "../../../src/storage/s3-options.ts";
import { cached, make } from "../../clients/support/cache.ts";
import { freePorts } from "../../support/free-ports.ts";

const MODULE = join(import.meta.dir, "../servers");
const PACKAGE = "github.com/versity/versitygw/cmd/versitygw";

export const KEYS = { accessKeyId: "stowage-tests", secretAccessKey: "the secret of the tests" } as const;
export const BUCKET = "registry";

export interface S3Server {
  /** Such as `http://127.0.0.1:40123`. */
  readonly url: string;
  /** Options for a store below a prefix of its own. */
  options(more?: Partial<S3Options>): S3Options;
  /** Makes the server forget all that it has. */
  clear(): Promise<void>;
}

let prefixes = 0;

/**
 * Starts the server, which ends after the last test of the file. The variable STOWAGE_S3_ENDPOINT names another one instead,
 * which has the bucket and the keys already: so the same tests run against MinIO.
 */
export async function startS3(): Promise<S3Server> {
  const given = process.env["STOWAGE_S3_ENDPOINT"];
  if (given !== undefined) return serverAt(given, async () => {});
  const program = join(await cached(`versitygw-${version()}`, build), "versitygw");
  const folder = await mkdtemp(join(tmpdir(), "stowage-s3-"));
  await mkdir(join(folder, BUCKET));
  const [port = 0] = await freePorts(1);
  const words = [
    "--port",
    `127.0.0.1:${port}`,
    "--access",
    KEYS.accessKeyId,
    "--secret",
    KEYS.secretAccessKey,
    "--quiet",
  ];
  const child = Bun.spawn([program, ...words, "--keep-alive", "posix", folder], { stdout: "ignore", stderr: "pipe" });
  afterAll(async () => {
    child.kill("SIGKILL");
    await child.exited;
    await rm(folder, { recursive: true, force: true });
  });
  const url = `http://127.0.0.1:${port}`;
  for (;;) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer) break;
    if (child.exitCode !== null) throw new Error(`versitygw ended: ${await child.stderr.text()}`);
    await Bun.sleep(20);
  }
  return serverAt(url, async () => {
    await rm(join(folder, BUCKET), { recursive: true, force: true });
    await mkdir(join(folder, BUCKET));
  });
}

function serverAt(url: string, clear: () => Promise<void>): S3Server {
  return {
    url,
    options: (more = {}) => ({
      bucket: BUCKET,
      region: "us-east-1",
      endpoint: url,
      pathStyle: true,
      prefix: `${process.pid}/${Date.now()}-${(prefixes += 1)}`,
      credentials: KEYS,
      ...more,
    }),
    clear,
  };
}

async function build(target: string): Promise<void> {
  await make("go", ["build", "-buildvcs=false", "-o", join(target, "versitygw"), PACKAGE], MODULE, {
    CGO_ENABLED: "0",
  });
}

function version(): string {
  const pinned = /github\.com\/versity\/versitygw (v\S+)/.exec(readFileSync(join(MODULE, "go.mod"), "utf8"))?.[1];
  if (pinned === undefined) throw new Error("servers/go.mod does not pin versitygw");
  return pinned;
}
