/** kill -9 in the middle of pushes to S3: what was acknowledged is there, uploads continue, and nothing is left over. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../../src/oci/digest.ts";
import { S3BlobStore } from "../../src/storage/s3/s3-blob-store.ts";
import { MIN_PART_BYTES } from "../../src/storage/s3-options.ts";
import type { S3Options } from "../../src/storage/s3-options.ts";
import { queryFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";
import { FaultyS3 } from "./support/faulty-s3.ts";
import type { Call } from "./support/faulty-s3.ts";
import { startS3 } from "./support/s3-server.ts";

setDefaultTimeout(240_000);

const s3 = await startS3();
const scratch = await scratchFolder();

const FIRST = randomBytes(MIN_PART_BYTES + 300_000);
const SECOND = randomBytes(2 * MIN_PART_BYTES + 700_000);
const WHOLE = Buffer.concat([FIRST, SECOND]);

/** The request at which the server dies: before it reaches S3. */
const DEATHS: readonly Call[] = ["PUT part", "POST complete", "GET object"];

for (const [at, call] of DEATHS.entries()) {
  test(`a server that dies at ${call} loses nothing that it acknowledged, and the upload continues`, async () => {
    await using proxy = await FaultyS3.open(s3.url);
    const options = s3.options({ endpoint: proxy.url, partBytes: MIN_PART_BYTES });
    const dataDir = join(scratch, `data-${at}`);
    const config = join(scratch, `config-${at}.yml`);
    await writeFile(config, settings(options, dataDir));
    const start = (): Promise<Listening> => startListening({ dataDir, words: ["serve", config] });

    const server = await start();
    const begun = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: "POST" });
    const first = await fetch(absolute(server, begun.headers.get("location")), { method: "PATCH", body: FIRST });
    expect(first.status).toBe(202);
    const location = first.headers.get("location") ?? "";
    const dying = proxy.held(call);
    // Closes the upload with the rest of it.
    const lost = fetch(`${absolute(server, location)}&digest=${digestOf(WHOLE)}`, { method: "PUT", body: SECOND });
    lost.catch(() => undefined);
    await dying;
    server.signal("SIGKILL");
    await server.ended;
    await lost.catch(() => undefined);
    proxy.reset();

    await using again = await start();
    const told = await fetch(absolute(again, location));
    expect([told.status, told.headers.get("range")]).toEqual([204, `0-${FIRST.length - 1}`]);
    const closed = await fetch(`${absolute(again, told.headers.get("location"))}&digest=${digestOf(WHOLE)}`, {
      method: "PUT",
      body: SECOND,
    });
    expect(closed.status).toBe(201);
    const pulled = await fetch(`${again.url}/v2/app/blobs/${digestOf(WHOLE)}`);
    expect(digestOf(await pulled.bytes())).toBe(digestOf(WHOLE));
    expect(await again.stop()).toBe(0);

    // Later, nothing but the blob is left: no multipart upload, no tail, no row.
    const collected = await runProgram(dataDir, ["gc", "--config", config]);
    expect({ ...collected, stdout: "" }).toMatchObject({ exitCode: 0 });
    expect(queryFolder(dataDir, "select id from upload")).toEqual([]);
    const left = await Array.fromAsync(new S3BlobStore({ ...options, endpoint: s3.url }).list());
    expect(left.map(({ key }) => key)).toEqual([expect.stringMatching(/^blobs\//)]);
  });
}

function absolute(server: Listening, location: string | null): string {
  return `${server.url}${location}`;
}

function settings({ bucket, region, endpoint, prefix, credentials }: S3Options, dataDir: string): string {
  return JSON.stringify({
    storage: {
      filesystem: { rootdirectory: dataDir },
      inline: 0,
      redirect: { disable: true },
      s3: {
        bucket,
        region,
        regionendpoint: endpoint,
        rootdirectory: prefix,
        chunksize: MIN_PART_BYTES,
        accesskey: credentials?.accessKeyId,
        secretkey: credentials?.secretAccessKey,
      },
    },
    http: { addr: "127.0.0.1:0" },
  });
}
