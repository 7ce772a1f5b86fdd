/** Reverse proxies with the configurations of docs/proxies.md, of which only addresses and paths are replaced. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { codeBlocksIn, readDocument } from "../../support/markdown.ts";
import { startDaemon, throwWhenEnded } from "./programs.ts";
import type { Daemon, Runnable } from "./programs.ts";
import { until } from "./until.ts";

const DOCUMENT = readDocument("docs/proxies.md");

/** What differs between the document and a test. */
export interface ProxyPlace {
  /** Of the registry behind the proxy, on loopback. */
  readonly registryPort: number;
  /** What the proxy listens on. */
  readonly address: string;
  readonly port: number;
  /** For the proxy's files. */
  readonly folder: string;
  /** Paths of PEM files: of the certificate, of its key, and of one after the other. */
  readonly certificate: string;
  readonly key: string;
  readonly both: string;
}

interface ProxyCommand {
  readonly program: Runnable;
  readonly words: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

type Write = (name: string, text: string) => Promise<string>;

/** Writes the configuration of a proxy, and gives the command that runs it in the foreground. */
type Prepare = (place: ProxyPlace, write: Write) => Promise<ProxyCommand>;

/** Traefik has no Debian package: its test runs where this names the program. */
const TRAEFIK = process.env["STOWAGE_TRAEFIK"];

const PROXIES = {
  nginx: async ({ registryPort, port, folder, certificate, key }, write) => {
    const [site] = configurationsOf("nginx", [
      ["127.0.0.1:5000", `127.0.0.1:${registryPort}`],
      ["listen 443 ssl", `listen ${port} ssl`],
      ["/etc/ssl/registry.example.org.pem", certificate],
      ["/etc/ssl/private/registry.example.org.key", key],
    ]);
    const log = join(folder, "nginx.log");
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(
      (what) => `${what}_temp_path ${join(folder, what)};`,
    );
    const conf = await write(
      "nginx.conf",
      `daemon off; user root; pid ${join(folder, "nginx.pid")}; error_log ${log}; events {}
http { access_log off; ${temporary.join(" ")}
${site}}
`,
    );
    return { program: "nginx", words: ["-p", folder, "-e", log, "-c", conf] };
  },

  Caddy: async ({ registryPort, address, port, folder, certificate, key }, write) => {
    const [site] = configurationsOf("Caddy", [
      ["127.0.0.1:5000", `127.0.0.1:${registryPort}`],
      // Caddy gets a certificate by itself for a name that is known to the world.
      ["registry.example.org {", `https://${address}:${port} {\n    tls ${certificate} ${key}`],
    ]);
    const file = await write("Caddyfile", `{\n    admin off\n    auto_https disable_redirects\n}\n${site}`);
    const words = ["run", "--config", file, "--adapter", "caddyfile"];
    return { program: "caddy", words, env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder } };
  },

  HAProxy: async ({ registryPort, port, both }, write) => {
    const [settings] = configurationsOf("HAProxy", [
      ["127.0.0.1:5000", `127.0.0.1:${registryPort}`],
      ["bind :443", `bind :${port}`],
      ["/etc/haproxy/registry.example.org.pem", both],
    ]);
    return { program: "haproxy", words: ["-db", "-f", await write("haproxy.cfg", settings)] };
  },

  Traefik: async ({ registryPort, address, port, certificate, key }, write) => {
    const [settings, routes] = configurationsOf("Traefik", [
      ["127.0.0.1:5000", `127.0.0.1:${registryPort}`],
      [":443", `:${port}`],
      ["registry.example.org", address],
    ]);
    const certificates = `tls:\n  certificates: [{ certFile: ${certificate}, keyFile: ${key} }]\n`;
    const dynamic = await write("dynamic.yml", `${routes}${certificates}`);
    const file = await write("traefik.yml", `${settings}providers:\n  file: { filename: ${dynamic} }\n`);
    return { program: TRAEFIK as Runnable, words: [`--configFile=${file}`] };
  },
} satisfies Readonly<Record<string, Prepare>>;

export type ProxyName = keyof typeof PROXIES;

/** All that can run here. */
export const PROXY_NAMES: readonly ProxyName[] = (Object.keys(PROXIES) as ProxyName[]).filter(
  (name) => name !== "Traefik" || TRAEFIK !== undefined,
);

/** Starts a proxy; resolves once it answers. Disposing it stops it. */
export async function startProxy(name: ProxyName, place: ProxyPlace): Promise<Daemon> {
  const write: Write = async (file, text) => {
    const path = join(place.folder, file);
    await writeFile(path, text);
    return path;
  };
  const { program, words, env }: ProxyCommand = await PROXIES[name](place, write);
  const daemon = startDaemon(program, words, env);
  await until(`${name} answers`, async () => {
    throwWhenEnded(name, daemon);
    const url = `https://${place.address}:${place.port}/healthz`;
    return (await fetch(url, { tls: { rejectUnauthorized: false } })).status === 200;
  });
  return daemon;
}

/** The `http` settings that the document has for all proxies, as YAML. */
export function settingsOfDocument(): string {
  const [before = ""] = DOCUMENT.split(/^## /m);
  return codeBlocksIn(before)[0]?.text ?? "";
}

/** The code blocks below a heading; throws when one of the texts to be replaced is in none of them. */
function configurationsOf(
  heading: ProxyName,
  replacements: readonly (readonly [from: string, to: string])[],
): readonly [string, string] {
  const [, section = ""] = DOCUMENT.split(`\n## ${heading}\n`);
  const [text = ""] = section.split("\n## ");
  const blocks = codeBlocksIn(text).map((block) => block.text);
  for (const [from] of replacements) {
    if (!blocks.some((block) => block.includes(from))) throw new Error(`docs/proxies.md: ${heading} has no ${from}`);
  }
  const [first = "", second = ""] = blocks.map((block) =>
    replacements.reduce((replaced, [from, to]) => replaced.replaceAll(from, to), block),
  );
  return [first, second];
}
