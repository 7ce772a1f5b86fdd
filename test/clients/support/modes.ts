/** The ways in which a registry may authenticate clients: the same clients do the same under each of them. */
import { mkdir, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Authority } from "../../support/certificates.ts";
import { makeDataFolder } from "../../support/data-folder.ts";
import { runProgram } from "../../support/program.ts";
import { SHOW_NO_CERTIFICATE, trustToml } from "./access.ts";
import type { Access, TlsTrust } from "./access.ts";
import type { ClientName } from "./clients.ts";
import type { WireTls } from "./wire.ts";

/**
 * `anonymous`: no authentication; `open pull`: only for pushes; `tls`: tokens in secret; `mutual tls`: only
 * who shows a certificate gets a connection.
 */
export const MODES = ["anonymous", "password", "token", "open pull", "tls", "mutual tls"] as const;

export type Mode = (typeof MODES)[number];

/** How the registry is started, and how clients reach it then. */
export interface Guard {
  readonly env: Readonly<Record<string, string>>;
  readonly access: Access;
  /** What a wire before the registry needs to read along. */
  readonly wireTls?: WireTls;
}

const USER = { name: "pusher", password: "made for one run" };

const POLICIES = [
  { who: ["everyone"], repositories: ["**"], actions: ["pull"] },
  { who: [USER.name], repositories: ["**"], actions: ["pull", "push", "delete"] },
];

/** The mode of every test that says none: `STOWAGE_CLIENT_MODE`, or no authentication. */
export function usualMode(): Mode {
  const name = process.env["STOWAGE_CLIENT_MODE"] ?? "anonymous";
  const mode = MODES.find((each) => each === name);
  if (!mode) throw new Error(`STOWAGE_CLIENT_MODE is ${name}, but expected one of: ${MODES.join(", ")}`);
  return mode;
}

/** The same for tests of one client: where it would have to show a certificate and cannot, it need not. */
export function usualModeOf(client: ClientName): Mode {
  const mode = usualMode();
  return mode === "mutual tls" && client in SHOW_NO_CERTIFICATE ? "tls" : mode;
}

/** Makes the accounts and files of a mode in `folder`, for a registry with its data in `dataDir`. */
export async function guardFor(mode: Mode, folder: string, dataDir: string): Promise<Guard> {
  await mkdir(folder, { recursive: true });
  switch (mode) {
    case "anonymous":
      return { env: {}, access: {} };
    case "password": {
      const path = join(folder, "htpasswd");
      await writeFile(path, `${USER.name}:${await Bun.password.hash(USER.password, "bcrypt")}\n`);
      return { env: { REGISTRY_AUTH_HTPASSWD_PATH: path }, access: { user: USER } };
    }
    case "token":
      await addUser(dataDir);
      return { env: { REGISTRY_AUTH_USERS_ENABLED: "true" }, access: { user: USER } };
    case "open pull":
      await addUser(dataDir);
      return {
        env: { REGISTRY_AUTH_USERS_ENABLED: "true", REGISTRY_POLICIES: JSON.stringify(POLICIES) },
        access: { user: USER },
      };
    case "tls": {
      await addUser(dataDir);
      const { env, access, ...guard } = await guardByTls(folder, false);
      return { ...guard, env: { ...env, REGISTRY_AUTH_USERS_ENABLED: "true" }, access: { ...access, user: USER } };
    }
    case "mutual tls":
      return await guardByTls(folder, true);
  }
}

async function addUser(dataDir: string): Promise<void> {
  await makeDataFolder(dataDir);
  const added = await runProgram(dataDir, ["user", "add", USER.name, "--password-stdin"], {}, USER.password);
  if (added.exitCode !== 0) throw new Error(`the account could not be made: ${added.stderr}`);
}

async function guardByTls(folder: string, mutual: boolean): Promise<Guard> {
  const servers = new Authority("an authority for servers");
  const clients = new Authority("an authority for clients");
  const address = ownAddress();
  const [server, client] = [servers.issue("registry", { names: [address] }), clients.issue("builder")];
  const file = async (name: string, text: string): Promise<string> => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };
  const env = {
    REGISTRY_HTTP_ADDR: `${address}:0`,
    REGISTRY_HTTP_TLS_CERTIFICATE: await file("server.crt", server.cert),
    REGISTRY_HTTP_TLS_KEY: await file("server.key", server.key),
  };
  const trust: TlsTrust = {
    ca: await file("ca.crt", servers.cert),
    ...(mutual && {
      client: { cert: await file("client.cert", client.cert), key: await file("client.key", client.key) },
    }),
  };
  const containerd = join(folder, "containerd");
  await mkdir(join(containerd, "_default"), { recursive: true });
  await writeFile(join(containerd, "_default/hosts.toml"), `${trustToml(trust)}[host]\n`);
  const clientCas = { REGISTRY_HTTP_TLS_CLIENTCAS: `[${await file("clients.crt", clients.cert)}]` };
  return {
    env: { ...env, ...(mutual && clientCas) },
    access: { tls: { ...trust, containerd } },
    wireTls: { address, server, ca: servers.cert, ...(mutual && { clients: { ca: clients.cert, own: client } }) },
  };
}

/** An address of this machine beyond loopback, where docker and others take plain HTTP for granted. */
export function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const found = all.find(({ family, internal }) => family === "IPv4" && !internal);
  if (!found) throw new Error("This machine has no address of IPv4 but loopback: give it one, for clients with TLS");
  return found.address;
}
