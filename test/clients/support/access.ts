/**
 * How clients learn that the registry of these tests speaks plain HTTP and asks for no password. This is the one place
 * that knows.
 */
import type { ClientName } from "./clients.ts";

type Words = readonly string[];

/** The commands of ctr that speak to a registry; others name one in what they call an image. */
const MOVES = new Set(["pull", "push"]);

/** What is said to a client whose command names the registry. */
const TELL: Readonly<Record<ClientName, (words: Words, registry: string) => Words>> = {
  buildx: (words) => words, // it takes plain HTTP for granted on a loopback address
  containerd: (words) => words,
  cosign2: (words) => [...words, "--allow-http-registry"],
  cosign3: (words) => [...words, "--allow-http-registry"],
  crane: (words) => [...words, "--insecure"],
  // Options stand before what they are about: `images pull --plain-http IMAGE`.
  ctr: ([object = "", verb = "", ...rest]) => [object, verb, ...(MOVES.has(verb) ? ["--plain-http"] : []), ...rest],
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

/** The words with which a client speaks to `registry`, such as `127.0.0.1:40123`. */
export function wordsFor(client: ClientName, words: Words, registry: string): Words {
  return words.some((word) => word.includes(registry)) ? TELL[client](words, registry) : words;
}

/** The `registries.conf` of podman, buildah and skopeo. */
export function registriesConf(registry: string): string {
  return `short-name-mode = "disabled"
[[registry]]
location = "${registry}"
insecure = true
`;
}

/** The settings of containerd for a host that `registry` is a mirror of. */
export function hostsToml(registry: string): string {
  return `[host."http://${registry}"]\ncapabilities = ["pull", "resolve"]\n`;
}
