/** The registry's name before that of an image, as docker, podman and their like write it: `HOST[:PORT]/NAME`. */

/**
 * Returns the name for the address of a registry, such as `registry.example.org` for `https://registry.example.org`. docker
 * takes a first part without a dot or a colon for a user of Docker Hub (but for `localhost`), so such a host keeps its port.
 */
export function dockerHost(address: string): string {
  const { host, hostname, port, protocol } = new URL(address);
  if (port !== "" || hostname.includes(".") || hostname.includes(":") || hostname === "localhost") return host;
  return `${hostname}:${protocol === "https:" ? 443 : 80}`;
}
