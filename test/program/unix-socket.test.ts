/** A server on a Unix socket. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { refusedStart } from "../support/refused-start.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
let sockets = 0;

function freshSocket(): string {
  return join(scratch, `${sockets++}.sock`);
}

async function ping(unix: string): Promise<number> {
  return (await fetch("http://localhost/v2/", { unix })).status;
}

for (const spelled of ["unix:", ""]) {
  test(`${spelled}/path is listened on, by its owner and his group alone`, async () => {
    const path = freshSocket();
    const env = { REGISTRY_HTTP_ADDR: spelled + path, REGISTRY_LOG_FORMATTER: "text" };
    await using server = await startListening({ env, umask: 0 });
    expect(server.url).toBe(`unix:${path}`);
    await server.printed(new RegExp(`curl --unix-socket ${path} http://localhost/v2/\n`));
    expect((await stat(path)).mode & 0o777).toBe(0o660);
    expect(await ping(path)).toBe(200);
    expect(await server.stop()).toBe(0);
  });
}

test("a socket that a killed server left behind is replaced", async () => {
  const path = freshSocket();
  const env = { REGISTRY_HTTP_ADDR: `unix:${path}` };
  await using killed = await startListening({ env });
  killed.signal("SIGKILL");
  await killed.ended;
  expect(existsSync(path)).toBe(true);
  await using next = await startListening({ env });
  expect(next.url).toBe(`unix:${path}`);
  expect(await ping(path)).toBe(200);
});

test("a socket that another process listens on is left alone", async () => {
  const path = freshSocket();
  const env = { REGISTRY_HTTP_ADDR: `unix:${path}` };
  await using first = await startListening({ env });
  expect(await refusedStart({ env })).toContain(`another program listens on ${path}`);
  expect(await ping(path)).toBe(200);
  expect(await first.stop()).toBe(0);
});

test("what is no socket is left alone", async () => {
  const path = freshSocket();
  await writeFile(path, "precious");
  expect(await refusedStart({ env: { REGISTRY_HTTP_ADDR: `unix:${path}` } })).toContain("is not a socket");
  expect(await readFile(path, "utf8")).toBe("precious");
});

test("a folder that is not there is named", async () => {
  const path = join(scratch, "missing", "a.sock");
  expect(await refusedStart({ env: { REGISTRY_HTTP_ADDR: `unix:${path}` } })).toContain(path);
});
