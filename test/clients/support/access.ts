/**
 * How clients learn in which way the registry of these tests is reached, and as whom. This is the one place that knows:
 * a registry says it once under its name, and every client that speaks to that name is told in its own words.
 */
import { readFileSync } from "node:fs";
import type { ClientName } from "./clients.ts";

type Words = readonly string[];

/** Plain HTTP and no password unless it says something else. */
export interface Access {
  readonly user?: User | undefined;
  /** Paths of files in PEM. */
  readonly tls?: TlsAccess | undefined;
}

export interface User {
  readonly name: string;
  readonly password: string;
}

export interface TlsTrust {
  /** Who vouches for the registry. */
  readonly ca: string;
  /** What a client shows; nothing when absent. */
  readonly client?: { readonly cert: string; readonly key: string } | undefined;
}

export interface TlsAccess extends TlsTrust {
  /** A folder of settings that tell containerd the same about every host. */
  readonly containerd: string;
}

const ACCESSES = new Map<string, Access>();

/** Says how the registry of this name, such as `127.0.0.1:40123`, is reached. */
export function announce(registry: string, access: Access): void {
  ACCESSES.set(registry, access);
}

/** How the registry of this name is reached. */
export function accessTo(registry: string): Access {
  return ACCESSES.get(registry) ?? {};
}

/** The commands of ctr that speak to a registry; others name one in what they call an image. */
const MOVES = new Set(["pull", "push"]);

/** What is said to a client whose command names the registry, when that speaks plain HTTP. */
const TELL_PLAIN: Readonly<Record<ClientName, (words: Words, registry: string) => Words>> = {
  buildx: (words) => words, // it takes plain HTTP for granted on a loopback address
  containerd: (words) => words,
  cosign2: (words) => [...words, "--allow-http-registry"],
  cosign3: (words) => [...words, "--allow-http-registry"],
  crane: (words) => [...words, "--insecure"],
  ctr: (words) => toCtr(words, ["--plain-http"]),
  helm: (words) => [...words, "--plain-http"],
  notation: (words) => [...words, "--insecure-registry"],
  oras: (words) =>
    words[0] === "cp" ? [...words, "--from-plain-http", "--to-plain-http"] : [...words, "--plain-http"],
  "oras-py": (words) => [...words, "--insecure"],
  regctl: (words, registry) => ["--host", `reg=${registry},tls=disabled`, ...words],
  "sigstore-oci": (words) => words, // like buildx
  // Options stand behind the verb: `oci push --insecure REGISTRY REFERENCE FILE`.
  wkg: ([object = "", verb = "", ...rest], registry) => [object, verb, "--insecure", registry, ...rest],
};

/** … and when it speaks TLS; clients that have no words for that have variables or files. */
const TELL_TLS: Readonly<Partial<Record<ClientName, (words: Words, tls: TlsAccess) => Words>>> = {
  cosign2: (words, tls) => [
    ...words,
    ...options(tls, "--registry-cacert", "--registry-client-cert", "--registry-client-key"),
  ],
  cosign3: (words, tls) => [
    ...words,
    ...options(tls, "--registry-cacert", "--registry-client-cert", "--registry-client-key"),
  ],
  ctr: (words, tls) => toCtr(words, ["--hosts-dir", tls.containerd]),
  helm: (words, tls) => [...words, ...options(tls, "--ca-file", "--cert-file", "--key-file")],
  oras: (words, tls) =>
    words[0] === "cp"
      ? [
          ...words,
          ...options(tls, "--from-ca-file", "--from-cert-file", "--from-key-file"),
          ...options(tls, "--to-ca-file", "--to-cert-file", "--to-key-file"),
        ]
      : [...words, ...options(tls, "--ca-file", "--cert-file", "--key-file")],
};

/** Clients that cannot show a certificate of their own instead of a password, and why. */
export const SHOW_NO_CERTIFICATE: Readonly<Partial<Record<string, string>>> = {
  buildx: "it has them from the settings of a builder, and imagetools is used without one",
  crane: "it has neither an option nor a file for them",
  notation: "it has neither an option nor a file for them",
  "sigstore-oci": "it could, but deals with no registry that asks for nothing else",
  wkg: "it has neither an option nor a file for them",
};

/** The words with which a client speaks to `registry`, such as `127.0.0.1:40123`. */
export function wordsFor(client: ClientName, words: Words, registry: string): Words {
  // Helm reads in a chart which registry the charts that it depends on are in.
  const isNamedInFile = client === "helm" && words[0] === "dependency";
  if (!isNamedInFile && !words.some((word) => word.includes(registry))) return words;
  const { tls, user } = accessTo(registry);
  const told = tls ? (TELL_TLS[client]?.(words, tls) ?? words) : TELL_PLAIN[client](words, registry);
  return client === "ctr" && user ? toCtr(told, ["--user", `${user.name}:${user.password}`]) : told;
}

/** The same for docker, which asks the registry itself about manifests; for all else there is its engine. */
export function wordsForDocker(words: Words, registry: string): Words {
  const [object, verb = "", ...rest] = words;
  return object === "manifest" && !accessTo(registry).tls ? [object, verb, "--insecure", ...rest] : words;
}

/** What clients written in Go, Rust, Node and Python find in their environment. */
export function environmentFor(registry: string): Readonly<Record<string, string>> {
  const { tls, user } = accessTo(registry);
  return {
    ...(tls && { SSL_CERT_FILE: tls.ca, NODE_EXTRA_CA_CERTS: tls.ca, REQUESTS_CA_BUNDLE: tls.ca }),
    ...(user && { REGISTRY_USERNAME: user.name, REGISTRY_PASSWORD: user.password }),
    ...(user && { ORAS_USER: user.name, ORAS_PASS: user.password }), // of oras-py
    ...(tls?.client && { CLIENT_CERT: tls.client.cert, CLIENT_KEY: tls.client.key }),
  };
}

/** What `docker login` would have written: nearly every client reads that file. */
export function dockerConfig(registry: string): string {
  const { user } = accessTo(registry);
  return user ? JSON.stringify({ auths: { [registry]: { auth: basicOf(user) } } }) : "{}";
}

/** The settings of regctl; undefined when its words say all. */
export function regctlConfig(registry: string): string | undefined {
  const { tls } = accessTo(registry);
  if (!tls) return undefined;
  const host = {
    hostname: registry,
    tls: "enabled",
    regcert: readFileSync(tls.ca, "utf8"),
    ...(tls.client && {
      clientCert: readFileSync(tls.client.cert, "utf8"),
      clientKey: readFileSync(tls.client.key, "utf8"),
    }),
  };
  return JSON.stringify({ hosts: { [registry]: host } });
}

/** The files of a folder that docker, podman, buildah and skopeo have for each registry (`certs.d`). */
export function certificateFiles(registry: string): Readonly<Record<string, string>> {
  const { tls } = accessTo(registry);
  if (!tls) return {};
  return {
    "ca.crt": readFileSync(tls.ca, "utf8"),
    ...(tls.client && {
      "client.cert": readFileSync(tls.client.cert, "utf8"),
      "client.key": readFileSync(tls.client.key, "utf8"),
    }),
  };
}

/** The `registries.conf` of podman, buildah and skopeo. */
export function registriesConf(registry: string): string {
  return `short-name-mode = "disabled"
[[registry]]
location = "${registry}"
insecure = ${accessTo(registry).tls === undefined}
`;
}

/** The settings of containerd for a host that `registry` is a mirror of: who logs in there is unknown here. */
export function hostsToml(registry: string): string {
  const { tls, user } = accessTo(registry);
  return `[host."${tls ? "https" : "http"}://${registry}"]
capabilities = ["pull", "resolve"]
${tls ? trustToml(tls) : ""}
${user ? `header.authorization = ["Basic ${basicOf(user)}"]` : ""}
`;
}

/** What containerd's settings of a host say about certificates. */
export function trustToml({ ca, client }: TlsTrust): string {
  return `ca = "${ca}"\n${client ? `client = [["${client.cert}", "${client.key}"]]` : ""}\n`;
}

/** Options of ctr stand before what they are about: `images pull --plain-http IMAGE`. */
function toCtr([object = "", verb = "", ...rest]: Words, more: Words): Words {
  return [object, verb, ...(MOVES.has(verb) ? more : []), ...rest];
}

function options({ ca, client }: TlsTrust, forCa: string, forCert: string, forKey: string): Words {
  return [forCa, ca, ...(client ? [forCert, client.cert, forKey, client.key] : [])];
}

/** As it stands in a header. */
function basicOf({ name, password }: User): string {
  return Buffer.from(`${name}:${password}`).toString("base64");
}
