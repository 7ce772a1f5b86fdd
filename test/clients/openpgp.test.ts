/** OpenPGP signatures (simple signing) of skopeo and podman, kept beside manifests; and schema 1 as skopeo signs it. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ContainerTools } from "./support/container-tools.ts";
import { ImageFiles } from "./support/image-files.ts";
import { writeOciLayout } from "./support/oci-layout.ts";
import { requirePrograms, run } from "./support/programs.ts";
import { makeScratchFolder } from "./support/scratch-folder.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

setDefaultTimeout(120_000);

const SIGNER = "signer@example.org";
const OTHER = "other@example.org";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let tools: ContainerTools;
/** The image of the tests as an argument of skopeo. */
let source: string;

beforeAll(async () => {
  requirePrograms("busybox", "gpg", "gpgconf", "podman", "skopeo", "tar");
  const env = { REGISTRY_SIGNATURES_ENABLED: "true", REGISTRY_COMPATIBILITY_SCHEMA1_ENABLED: "true" };
  registry = resources.use(await WatchedRegistry.start(undefined, env));
  tools = resources.use(await ContainerTools.setUp({ registry: registry.name }));
  const folder = resources.use(await makeScratchFolder()).path;
  await writeOciLayout(await ImageFiles.gather(folder), join(folder, "layout"));
  source = `oci:${join(folder, "layout")}:amd64`;
  await mkdir(tools.gnupgHome, { recursive: true, mode: 0o700 });
  for (const signer of [SIGNER, OTHER]) {
    await gpg("--passphrase", "", "--quick-generate-key", signer, "default", "default", "never");
  }
  await writeFile(tools.file("key.asc"), (await gpg("--armor", "--export", SIGNER)).stdout);
  await writeFile(tools.file("policy.json"), JSON.stringify(policy()));
});

afterAll(async () => {
  await run("gpgconf", ["--kill", "all"], { env: { GNUPGHOME: tools.gnupgHome } });
  await resources.disposeAsync();
});

test("what skopeo signed skopeo and podman verify, and nothing else gets through", async () => {
  await copy("signed/app:v1", "--sign-by", SIGNER);
  await copy("unsigned/app:v1");
  await tools.skopeo(
    "--policy",
    tools.file("policy.json"),
    "copy",
    docker("signed/app:v1"),
    `dir:${tools.file("out")}`,
  );
  const refused = await tools.fails(
    "skopeo",
    "--policy",
    tools.file("policy.json"),
    "copy",
    docker("unsigned/app:v1"),
    `dir:${tools.file("none")}`,
  );
  expect(refused.stderr).toContain("A signature was required");
  await tools.podman("pull", "--signature-policy", tools.file("policy.json"), `${registry.name}/signed/app:v1`);
});

test("a signature is kept byte for byte, and one of another signer is added to it", async () => {
  await copy("twice/app:v1", "--sign-by", SIGNER);
  await copy("twice/app:v1", "--sign-by", OTHER);
  const out = tools.file("twice");
  await tools.skopeo("copy", docker("twice/app:v1"), `dir:${out}`);
  const listed = await fetch(signaturesOf("twice/app", await digestOf("twice/app", "v1")));
  const { signatures } = (await listed.json()) as { signatures: { content: string }[] };
  expect(signatures).toHaveLength(2);
  const kept = [await readFile(join(out, "signature-1")), await readFile(join(out, "signature-2"))];
  expect(signatures.map(({ content }) => content).toSorted()).toEqual(
    kept.map((bytes) => bytes.toString("base64")).toSorted(),
  );
});

test("a signature of another image does not do", async () => {
  await copy("stolen/app:v1", "--sign-by", SIGNER);
  await copy("stolen/app:v2", "--format", "v2s2");
  const [v1, v2] = [await digestOf("stolen/app", "v1"), await digestOf("stolen/app", "v2")];
  const { signatures } = (await (await fetch(signaturesOf("stolen/app", v1))).json()) as {
    signatures: { content: string }[];
  };
  const body = JSON.stringify({ ...signatures[0], name: `${v2}@${"a".repeat(32)}` });
  expect((await fetch(signaturesOf("stolen/app", v2), { method: "PUT", body })).status).toBe(201);
  const words = ["--policy", tools.file("policy.json"), "copy", docker("stolen/app:v2"), `dir:${tools.file("no")}`];
  expect((await tools.fails("skopeo", ...words)).stderr).toContain("Source image rejected");
});

test("an image of Docker's schema 1 that skopeo signs is taken, served and converted back", async () => {
  await copy("old/app:v1", "--format", "v2s1");
  const manifest = await fetch(`${registry.url}/v2/old/app/manifests/v1`);
  expect(manifest.headers.get("content-type")).toBe("application/vnd.docker.distribution.manifest.v1+prettyjws");
  const inspected = JSON.parse((await tools.skopeo("inspect", docker("old/app:v1"))).stdout) as { Digest: string };
  expect(inspected.Digest).toBe(manifest.headers.get("docker-content-digest") ?? "");
  await tools.skopeo("copy", docker("old/app:v1"), `dir:${tools.file("old")}`);
  expect(await readFile(tools.file("old/manifest.json"))).toEqual(Buffer.from(await manifest.bytes()));
  await tools.skopeo("copy", "--format", "v2s2", docker("old/app:v1"), `dir:${tools.file("converted")}`);
});

async function digestOf(repository: string, tag: string): Promise<string> {
  const reply = await fetch(`${registry.url}/v2/${repository}/manifests/${tag}`, { method: "HEAD" });
  return reply.headers.get("docker-content-digest") ?? "";
}

function signaturesOf(repository: string, digest: string): string {
  return `${registry.url}/extensions/v2/${repository}/signatures/${digest}`;
}

function docker(reference: string): string {
  return `docker://${registry.name}/${reference}`;
}

async function copy(to: string, ...options: readonly string[]): Promise<void> {
  await tools.skopeo("copy", ...options, source, docker(to));
}

function gpg(...words: readonly string[]): ReturnType<typeof run> {
  return run("gpg", ["--batch", ...words], { env: { GNUPGHOME: tools.gnupgHome } });
}

/** Images of this registry have to be signed. */
function policy(): object {
  const signed = {
    type: "signedBy",
    keyType: "GPGKeys",
    keyPath: tools.file("key.asc"),
    signedIdentity: { type: "matchRepository" },
  };
  return {
    default: [{ type: "reject" }],
    transports: { docker: { [registry.name]: [signed] }, dir: { "": [{ type: "insecureAcceptAnything" }] } },
  };
}
