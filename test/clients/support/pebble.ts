/** Pebble, an authority for certificates on this machine that is strict, and unkind on purpose. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Authority } from "../../support/certificates.ts";
import { freePorts } from "../../support/free-ports.ts";
import { goClient } from "./go-clients.ts";
import { startDaemon, throwWhenEnded } from "./programs.ts";
import { makeScratchFolder } from "./scratch-folder.ts";
import { until } from "./until.ts";

export interface PebbleOptions {
  /** How long its certificates are good. */
  readonly lifeSeconds?: number;
}

export interface Pebble extends AsyncDisposable {
  readonly directory: string;
  /** The port at which it asks for what proves a name. */
  readonly challengePort: number;
  /** The path of the file, in PEM, by which its own address is trusted. */
  readonly trust: string;
  /** Who signs the certificates of now, in PEM. */
  root(): Promise<string>;
  /** All that it has printed so far. */
  output(): string;
  /** How many certificates it has signed. */
  issued(): number;
}

/** Builds it when it is not there yet. Of the nonces that it gives, it refuses a third. */
export async function startPebble({ lifeSeconds = 90 * 86_400 }: PebbleOptions = {}): Promise<Pebble> {
  const program = await goClient("pebble");
  const resources = new AsyncDisposableStack();
  const folder = resources.use(await makeScratchFolder());
  const authority = new Authority("an authority for the address of Pebble");
  const { cert, key } = authority.issue("pebble", { names: ["127.0.0.1"] });
  const file = (name: string): string => join(folder.path, name);
  const [port, management, challengePort, tlsPort] = await freePorts(4);
  const settings = {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${management}`,
    certificate: file("pebble.crt"),
    privateKey: file("pebble.key"),
    httpPort: challengePort,
    tlsPort,
    retryAfter: { authz: 1, order: 1 },
    keyAlgorithm: "ecdsa",
    profiles: { default: { description: "the only one", validityPeriod: lifeSeconds } },
  };
  await writeFile(file("pebble.crt"), cert);
  await writeFile(file("pebble.key"), key);
  await writeFile(file("trust.pem"), authority.cert);
  await writeFile(file("settings.json"), JSON.stringify({ pebble: settings }));
  const daemon = resources.use(
    startDaemon(program, ["-config", file("settings.json"), "-strict"], {
      PEBBLE_VA_NOSLEEP: "1",
      PEBBLE_WFE_NONCEREJECT: "33",
      PEBBLE_AUTHZREUSE: "0",
    }),
  );
  const get = (url: string): Promise<Response> => fetch(url, { tls: { ca: authority.cert } });
  const directory = `https://127.0.0.1:${port}/dir`;
  await until("Pebble answers", async () => {
    throwWhenEnded("pebble", daemon);
    return (await get(directory)).ok;
  });
  return {
    directory,
    challengePort: challengePort ?? 0,
    trust: file("trust.pem"),
    root: async () => await (await get(`https://127.0.0.1:${management}/roots/0`)).text(),
    output: () => daemon.output(),
    issued: () => daemon.output().split("Issued certificate serial").length - 1,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}
