/** A running server of any peer, on a folder and a port of its own. */
import { closeSync, openSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { StoredRepository } from "../contents.ts";
import { ACCEPT } from "../loads/load.ts";
import type { Peer } from "./peer.ts";

const START_TIMEOUT_MS = 120_000;

/** Disposing it ends the server and removes its folder. */
export interface PeerServer extends AsyncDisposable {
  readonly peer: Peer;
  readonly port: number;
  /** The process that was started; it may have children. */
  readonly pid: number;
  /** Ends the server, starts it again, and gives the milliseconds until `path` was answered with 200. */
  restart(path: string): Promise<number>;
}

/** A folder below `parent` with that content, and a server on it that has answered. */
export async function startPeer(
  peer: Peer,
  parent: string,
  repositories: readonly StoredRepository[],
): Promise<PeerServer> {
  const folder = await mkdtemp(join(parent, `${peer.name}-`));
  await peer.plant(folder, repositories);
  const port = await freePort();
  const { words, env } = await peer.command(folder, port);
  const logPath = join(folder, "output.log");

  const start = async (path: string) => {
    const started = performance.now();
    const log = openSync(logPath, "a");
    const child = Bun.spawn([...words], {
      cwd: folder,
      env: { PATH: process.env["PATH"] ?? "", HOME: folder, ...env },
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    closeSync(log);
    while (!(await answers(port, path))) {
      if (child.exitCode !== null || performance.now() - started > START_TIMEOUT_MS) {
        child.kill();
        throw new Error(`${peer.name} does not answer ${path}:\n${await readFile(logPath, "utf8")}`);
      }
      await Bun.sleep(2);
    }
    return { child, tookMs: performance.now() - started };
  };

  let { child } = await start("/v2/");
  const end = async (): Promise<void> => {
    child.kill("SIGTERM");
    await child.exited;
  };
  return {
    peer,
    port,
    get pid() {
      return child.pid;
    },
    async restart(path) {
      await end();
      const again = await start(path);
      child = again.child;
      return again.tookMs;
    },
    async [Symbol.asyncDispose]() {
      await end();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function answers(port: number, path: string): Promise<boolean> {
  try {
    const reply = await fetch(`http://127.0.0.1:${port}${path}`, { keepalive: false, headers: { accept: ACCEPT } });
    await reply.arrayBuffer();
    return reply.status === 200;
  } catch {
    return false; // the server does not listen yet
  }
}

async function freePort(): Promise<number> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const server = createServer().listen(0, "127.0.0.1", resolve);
  await promise;
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
