/** The commands that pull what is shown, ready to copy. */

export interface Command {
  /** The client's name. */
  readonly client: string;
  readonly text: string;
}

export interface Pullable {
  /** As clients write it: `host:port/prefix`. */
  readonly host: string;
  readonly name: string;
  /** `:tag` or `@digest`. */
  readonly reference: string;
  readonly kind: "image" | "index" | "artifact";
  readonly artifactType: string | null;
  /** Whether the page came over HTTP: most clients must be told so. */
  readonly isPlain: boolean;
}

const HELM = "application/vnd.cncf.helm.config.v1+json";
const WASM = /wasm/;

/** Returns the commands by which `what` is pulled, the usual client first. */
export function pullCommands({ host, name, reference, kind, artifactType, isPlain }: Pullable): readonly Command[] {
  const image = `${host}/${name}${reference}`;
  const oras = { client: "oras", text: `oras pull ${isPlain ? "--plain-http " : ""}${image}` };
  const crane = { client: "crane", text: `crane pull ${isPlain ? "--insecure " : ""}${image} image.tar` };
  if (artifactType === HELM) {
    // Helm names a version instead of a tag, in which it writes "+" for "_".
    const version = reference.startsWith(":") ? ` --version ${reference.slice(1).replaceAll("_", "+")}` : "";
    const chart = version === "" ? `${host}/${name}${reference}` : `${host}/${name}`;
    const text = `helm pull oci://${chart}${version}${isPlain ? " --plain-http" : ""}`;
    return [{ client: "helm", text }, oras];
  }
  if (artifactType !== null && WASM.test(artifactType)) {
    return [
      {
        client: "wkg",
        text: `wkg oci pull ${isPlain ? `--insecure ${host.split("/")[0]} ` : ""}${image} -o component.wasm`,
      },
      oras,
    ];
  }
  if (kind === "artifact") return [oras, crane];
  return [
    { client: "docker", text: `docker pull ${image}` },
    { client: "podman", text: `podman pull ${isPlain ? "--tls-verify=false " : ""}${image}` },
    crane,
    { client: "skopeo", text: `skopeo copy ${isPlain ? "--src-tls-verify=false " : ""}docker://${image} oci:image` },
    oras,
  ];
}
