/** What a person wants to know when the server is up, and what they should know of who can reach it. */
import { isLoopbackHost } from "../lib/network.ts";
import { dockerHost } from "../server/ops/docker-host.ts";
import { VERSION } from "../version.ts";

export interface Greeted {
  /** As a client on this machine writes it. */
  readonly url: string;
  /** Where clients elsewhere find it, such as `https://registry.example.org`; undefined when the settings do not tell. */
  readonly publicUrl: string | undefined;
  /** Undefined when nothing listens there. */
  readonly debugUrl: string | undefined;
  readonly dataFolder: string;
  /** Whether a client must authenticate before it may do everything: by a password or a certificate. */
  readonly guarded: boolean;
  /** Whether passwords or tokens are sent. */
  readonly sendsSecrets: boolean;
  /** Whether a proxy in front may speak TLS with clients. */
  readonly behindProxy: boolean;
}

export function greeting({ url, publicUrl, debugUrl, dataFolder, guarded, sendsSecrets }: Greeted): string {
  const lines = [
    `Stowage ${VERSION}`,
    `  Listening on ${url}`,
    `  Data folder: ${dataFolder}`,
    ...(debugUrl === undefined ? [] : [`  Debug address: ${debugUrl}`]),
  ];
  const place = placeOf(url);
  if (!place && publicUrl === undefined)
    return `${[...lines, `  Try it: curl --unix-socket ${url.slice("unix:".length)} http://localhost/v2/`].join("\n")}\n\n`;
  const name = dockerHost(publicUrl ?? addressHere(url));
  lines.push(
    "",
    "  Push an image:",
    ...(sendsSecrets ? [`    docker login ${name}`] : []),
    `    docker pull busybox && docker tag busybox ${name}/busybox && docker push ${name}/busybox`,
  );
  if (place && !place.loopback && !guarded) {
    const how = place.secure ? "" : ", over plain HTTP";
    lines.push("", `  Everyone who reaches this address can read, write and delete everything${how}.`);
  }
  if (place && !place.loopback && !place.secure && !publicUrl?.startsWith("https:")) {
    const elsewhere = publicUrl ?? (place.everywhere ? undefined : url);
    lines.push(
      "",
      "  Docker on other machines needs this line in its /etc/docker/daemon.json (and a restart):",
      `    { "insecure-registries": ["${elsewhere === undefined ? `THIS-MACHINE:${place.port}` : dockerHost(elsewhere)}"] }`,
    );
  }
  return `${lines.join("\n")}\n\n`;
}

/**
 * An address at which docker on this machine finds the server. In the clear docker speaks with `localhost` without being
 * told, and old ones know no addresses of IPv6 in names.
 */
function addressHere(url: string): string {
  const address = new URL(url);
  const isHere = ["0.0.0.0", "[::]", "[::1]"].includes(address.hostname);
  if (isHere) address.hostname = "localhost";
  return address.href;
}

/** One line for the log for each thing that an operator may not have meant. */
export function exposures({ url, guarded, sendsSecrets, behindProxy }: Greeted): readonly string[] {
  const place = placeOf(url);
  if (!place || place.loopback) return [];
  const found: string[] = [];
  if (!guarded) {
    found.push(
      `everyone who reaches ${url} can read, write and delete everything: set auth.users.enabled or auth.htpasswd to ask for ` +
        "passwords, or http.addr to 127.0.0.1:5000 to listen on this machine alone (docs/security.md)",
    );
  }
  if (sendsSecrets && !place.secure && !behindProxy) {
    found.push(
      `passwords and tokens are sent to ${url} unencrypted: set http.tls.certificate and http.tls.key, or put a proxy that ` +
        "terminates TLS in front and add it to http.trustedproxies (docs/security.md)",
    );
  }
  return found;
}

interface Place {
  readonly host: string;
  readonly port: string;
  /** Every address of the machine. */
  readonly everywhere: boolean;
  readonly loopback: boolean;
  readonly secure: boolean;
}

/** Undefined for a Unix socket. */
function placeOf(url: string): Place | undefined {
  if (!url.startsWith("http")) return undefined;
  const { host, hostname, port, protocol } = new URL(url);
  return {
    host,
    port,
    everywhere: hostname === "0.0.0.0" || hostname === "[::]",
    loopback: isLoopbackHost(hostname),
    secure: protocol === "https:",
  };
}
