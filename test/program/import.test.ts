/** `stowage import` copies another registry, through tokens, pages and rate limits, and again without transferring anything. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { createRegistry } from "../../src/create-registry.ts";
import { digestOf } from "../support/content.ts";
import { runProgram } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";
import { pushImage } from "../../src/registry/push-image.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();

/** A registry behind a server that asks for tokens, gives small pages and refuses each address once, as those of companies do. */
async function startSource() {
  const registry = await createRegistry({ storage: "memory" });
  const refused = new Set<string>();
  let blobReads = 0;
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const url = new URL(request.url);
      if (url.pathname === "/token") {
        const isKnown = request.headers.get("authorization") === `Basic ${btoa("alice:a long password")}`;
        return isKnown ? Response.json({ token: url.searchParams.get("scope") }) : new Response(null, { status: 401 });
      }
      const scope = url.pathname.endsWith("_catalog")
        ? "registry:catalog:*"
        : `repository:${/^\/v2\/(.*?)\/(?:manifests|blobs|tags|referrers)\//.exec(url.pathname)?.[1]}:pull`;
      if (request.headers.get("authorization") !== `Bearer ${scope}`) {
        const challenge = `Bearer realm="${url.origin}/token",service="source",scope="${scope}"`;
        return new Response(null, { status: 401, headers: { "www-authenticate": challenge } });
      }
      if (!refused.has(url.pathname)) {
        refused.add(url.pathname);
        return new Response(null, { status: 429, headers: { "retry-after": "0" } });
      }
      if (/\/blobs\//.test(url.pathname)) blobReads++;
      if (url.searchParams.has("n")) url.searchParams.set("n", "1");
      return await registry.fetch(new Request(url.href, request));
    },
  });
  return {
    registry,
    url: server.url.origin,
    blobReads: () => blobReads,
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await registry.close();
    },
  };
}

test("import copies all repositories with platforms, tags and referrers, and copies nothing twice", async () => {
  await using source = await startSource();
  const { namespace } = source.registry;
  const image = await pushImage(namespace, "team/app:v1,latest", { layers: [{ a: "1" }, { b: "x".repeat(100_000) }] });
  const index = await pushImage(namespace, "team/app:multi", { platforms: ["linux/amd64", "linux/arm64"] });
  const signature = await pushImage(namespace, "team/app", { subject: index, artifactType: "application/x.signature" });
  await pushImage(namespace, "other:1");
  const words = ["import", source.url, "--username", "alice", "--json", "--below", "mirror", "--parallel", "1"];
  const first = await runProgram(scratch, words, {}, "a long password\n");
  expect([first.stderr, first.exitCode]).toEqual([expect.any(String), 0]);
  expect(JSON.parse(first.stdout)).toMatchObject({ tags: 4, unchanged: 0, manifests: 6, failures: 0 });
  const reads = source.blobReads();
  const second = await runProgram(scratch, words, {}, "a long password\n");
  expect(JSON.parse(second.stdout)).toMatchObject({ tags: 4, unchanged: 4, manifests: 0, blobs: 0, failures: 0 });
  expect(source.blobReads()).toBe(reads);
  // What refers to one platform of an index that is here already comes too.
  const [child] = JSON.parse(
    await (await source.registry.fetch(new Request(`http://source/v2/team/app/manifests/multi`))).text(),
  ).manifests as [{ mediaType: string; digest: string; size: number }];
  const late = await pushImage(namespace, "team/app", { subject: child, artifactType: "application/x.sbom" });
  const third = await runProgram(scratch, words, {}, "a long password\n");
  expect(JSON.parse(third.stdout)).toMatchObject({ tags: 4, unchanged: 4, manifests: 1, failures: 0 });

  await using target = await createRegistry({ storage: { folder: scratch } });
  const get = (path: string): Promise<Response> => target.fetch(new Request(`http://registry/v2/${path}`));
  expect(await (await get("_catalog")).json()).toEqual({ repositories: ["mirror/other", "mirror/team/app"] });
  for (const [tag, { digest }] of [
    ["v1", image],
    ["latest", image],
    ["multi", index],
  ] as const) {
    const reply = await get(`mirror/team/app/manifests/${tag}`);
    expect([tag, digestOf(new Uint8Array(await reply.arrayBuffer()))]).toEqual([tag, digest]);
  }
  const referrers = (await (await get(`mirror/team/app/referrers/${index.digest}`)).json()) as {
    manifests: { digest: string }[];
  };
  expect(referrers.manifests.map(({ digest }) => digest)).toEqual([signature.digest]);
  const ofChild = await (await get(`mirror/team/app/referrers/${child.digest}`)).json();
  expect(ofChild).toMatchObject({ manifests: [{ digest: late.digest }] });
});

test("import names what it cannot copy, copies the rest and exits with 1; a wrong word exits before anything is done", async () => {
  await using source = await startSource();
  await pushImage(source.registry.namespace, "team/app:v1");
  const folder = `${scratch}/partial`;
  const words = ["import", source.url, "team/app:absent", "no/such", "team/app:v1", "--username", "alice", "--json"];
  const { exitCode, stdout, stderr } = await runProgram(folder, words, {}, "a long password\n");
  expect(exitCode).toBe(1);
  expect(JSON.parse(stdout)).toMatchObject({ tags: 1, failures: 2 });
  for (const named of ["team/app:absent", "no/such"]) expect(stderr).toContain(named);
  const unlisted = await runProgram(folder, ["import", source.url]); // without a login
  expect([unlisted.exitCode, unlisted.stderr.split("\n").length]).toEqual([1, 2]);
  for (const wrong of [["registry.example.com"], [source.url, "Team/App"], [source.url, "--parallel", "0"], []]) {
    expect((await runProgram(folder, ["import", ...wrong])).exitCode).toBe(1);
  }
});

test("import names a prefix that is no repository name, and copies nothing", async () => {
  const words = ["import", "https://127.0.0.1:1", "team/app", "--below", "A B"];
  const { exitCode, stdout, stderr } = await runProgram(join(scratch, "absent"), words);
  expect({ exitCode, stdout, lines: stderr.trim().split("\n").length }).toEqual({ exitCode: 1, stdout: "", lines: 1 });
  expect(stderr).toContain("A B");
});
