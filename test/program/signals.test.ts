/** Every way to start a server, and every signal: what ends it, what does not, and that none is left on the port. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pushImage } from "../support/client.ts";
import { PROGRAM, ROOT, WORKERS } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening, startProcess } from "../support/server-process.ts";
import { refusesConnections } from "./support/connections.ts";
import { holdUpload } from "./support/held-upload.ts";
import { childrenOf } from "./support/processes.ts";

setDefaultTimeout(60_000);

/** How a person starts a server, and what for: the words, and the folder to say them in. */
const WAYS: Readonly<Record<string, () => Promise<{ readonly words: readonly string[]; readonly cwd: string }>>> = {
  "bin/stowage serve": async () => ({ words: [PROGRAM, "serve"], cwd: await scratchFolder() }),
  // What npm does before is not looked at here: it could fetch packages.
  "npm start": async () => ({ words: ["npm", "start", "--ignore-scripts"], cwd: ROOT }),
  "npx stowage serve": async () => ({ words: ["npx", "--no-install", "stowage", "serve"], cwd: await project() }),
};

/** A folder in which npm has installed Stowage. */
async function project(): Promise<string> {
  const folder = await scratchFolder();
  await writeFile(join(folder, "package.json"), '{ "private": true }');
  await mkdir(join(folder, "node_modules/.bin"), { recursive: true });
  await symlink(PROGRAM, join(folder, "node_modules/.bin/stowage"));
  return folder;
}

async function environment(env: Readonly<Record<string, string>> = {}) {
  const home = await scratchFolder();
  return {
    PATH: process.env["PATH"] ?? "",
    HOME: home,
    npm_config_update_notifier: "false", // npm would ask its registry
    REGISTRY_HTTP_ADDR: "127.0.0.1:0",
    REGISTRY_WORKERS: WORKERS,
    REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: join(home, "data"),
    ...env,
  };
}

interface Started extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly output: () => string;
  /** Signals the process that was started, which may be npm. */
  signal(signal: NodeJS.Signals): void;
  /** Signals every process, as a terminal does and a service manager. */
  signalAll(signal: NodeJS.Signals): void;
  /** Resolves when the process that was started has ended. */
  readonly ended: Promise<unknown>;
}

/** Starts a server in one of the ways, in a process group of its own. */
async function start(way: string): Promise<Started> {
  const { words, cwd } = (await WAYS[way]?.()) ?? { words: [], cwd: "" };
  const options = { cwd, env: await environment(), stdin: "ignore", stdout: "pipe", stderr: "inherit" } as const;
  const child = Bun.spawn([...words], { ...options, detached: true });
  let output = "";
  const decoder = new TextDecoder();
  const listening = Promise.withResolvers<string>();
  const drain = async (): Promise<void> => {
    for await (const piece of child.stdout) {
      output += decoder.decode(piece, { stream: true });
      const url = /Listening on ([^\s"]+)"/.exec(output)?.[1];
      if (url !== undefined) listening.resolve(url);
    }
    listening.reject(new Error(`it ended before it listened:\n${output}`));
  };
  void drain();
  const url = await listening.promise;
  const signalAll = (signal: NodeJS.Signals): void => {
    process.kill(-child.pid, signal);
  };
  return {
    url,
    port: Number(new URL(url).port),
    output: () => output,
    signal: (signal) => child.kill(signal),
    signalAll,
    ended: child.exited,
    async [Symbol.asyncDispose]() {
      try {
        signalAll("SIGKILL");
      } catch {
        // All have ended.
      }
      await child.exited;
    },
  };
}

for (const way of ["npm start", "npx stowage serve"]) {
  describe(way, () => {
    // The shell of npx keeps SIGINT to itself until its child has ended; at a terminal that one gets it too.
    for (const signal of way.startsWith("npx") ? (["SIGTERM"] as const) : (["SIGTERM", "SIGINT"] as const)) {
      test(`${signal} to the process that was started ends it, after what runs has finished`, async () => {
        await using server = await start(way);
        using upload = await holdUpload(server.url, new Uint8Array(200_000));
        server.signal(signal);
        await refusesConnections(server.port);
        expect((await upload.finish()).statusCode).toBe(202);
        await server.ended;
      });
    }

    test("SIGTERM to all its processes at once is one signal, and what runs finishes", async () => {
      await using server = await start(way);
      using upload = await holdUpload(server.url, new Uint8Array(200_000));
      server.signalAll("SIGTERM");
      await refusesConnections(server.port);
      expect((await upload.finish()).statusCode).toBe(202);
      await server.ended;
    });

    for (const signal of ["SIGHUP", "SIGKILL"] as const) {
      test(`an npm that ${signal} ends leaves no server on the port`, async () => {
        await using server = await start(way);
        server.signal(signal);
        await server.ended;
        await refusesConnections(server.port);
      });
    }
  });
}

describe.each(["1", "2"])("SIGHUP (workers: %s)", (workers) => {
  test("with the same settings changes nothing: the server answers, and stops at SIGTERM", async () => {
    await using server = await startListening({ env: { REGISTRY_WORKERS: workers } });
    for (const pid of [server.pid, ...(await childrenOf(server.pid))]) process.kill(pid, "SIGHUP");
    await server.printed(/settings were read again: nothing changed/);
    await pushImage(server.url, "team/app", "latest");
    expect(await server.stop()).toBe(0);
  });
});

describe("a server that is told to stop before it serves", () => {
  test("ends at once, with exit code 0", async () => {
    // No client can connect there, which takes its time to find out: the start waits for a certificate.
    const letsencrypt = {
      email: "me@example.org",
      hosts: ["registry.example.org"],
      cachefile: join(await scratchFolder(), "certificates"),
      directoryurl: "https://127.0.0.1:1/directory",
      challengeaddr: "127.0.0.1:0",
    };
    const env = { REGISTRY_HTTP_TLS_LETSENCRYPT: JSON.stringify(letsencrypt), REGISTRY_LOG_FORMATTER: "json" };
    await using server = await startProcess({ env });
    await server.printed(/ordering the first certificate/);
    expect(await server.stop()).toBe(0);
    expect(server.errors()).toBe("");
  });
});

/** What is printed to a terminal, and the server at it. */
async function startAtTerminal(words: readonly string[], cwd: string) {
  let output = "";
  const decoder = new TextDecoder();
  const printed = Promise.withResolvers<string>();
  const terminal = new Bun.Terminal({
    cols: 400,
    rows: 50,
    data(_terminal, bytes) {
      output += decoder.decode(bytes, { stream: true });
      const url = /Listening on (http\S+)\r/.exec(output)?.[1];
      if (url !== undefined) printed.resolve(url);
    },
  });
  // In a session of its own, whose terminal it is.
  const child = Bun.spawn(["setsid", "--ctty", "--wait", ...words], { cwd, env: await environment(), terminal });
  const url = await printed.promise;
  return { terminal, child, url, port: Number(new URL(url).port), output: () => output };
}

describe("at a terminal", () => {
  for (const way of ["bin/stowage serve", "npm start"]) {
    test(`${way} ends at Ctrl-C with exit code 0, after what runs has finished`, async () => {
      const { words, cwd } = (await WAYS[way]?.()) ?? { words: [], cwd: "" };
      const { terminal, child, url, port, output } = await startAtTerminal(words, cwd);
      using upload = await holdUpload(url, new Uint8Array(200_000));
      terminal.write("\u0003");
      await refusesConnections(port);
      expect((await upload.finish()).statusCode).toBe(202);
      await child.exited;
      expect(child.exitCode).toBe(0);
      expect(output()).toContain("stopped");
      terminal.close();
    });
  }

  test("a server ends when the terminal is closed", async () => {
    const { words, cwd } = (await WAYS["bin/stowage serve"]?.()) ?? { words: [], cwd: "" };
    const { terminal, child, port } = await startAtTerminal(words, cwd);
    terminal.close();
    await refusesConnections(port);
    await child.exited;
  });
});
