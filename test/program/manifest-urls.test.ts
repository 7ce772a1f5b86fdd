/** `validation.manifests.urls`: which addresses the manifests may name that clients push. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pushBlob } from "../support/client.ts";
import { digestOf } from "../support/content.ts";
import { refusedStart } from "../support/refused-start.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

const scratch = await scratchFolder();
let files = 0;

async function fileWith(text: string): Promise<string> {
  const path = join(scratch, `config-${files++}.yml`);
  await writeFile(path, text);
  return path;
}

/** As distribution's documentation has it. */
const DISTRIBUTION = `version: 0.1
validation:
  manifests:
    urls:
      allow:
        - ^https?://([^/]+\\.)*example\\.com/
      deny:
        - ^https?://www\\.example\\.com/
`;

const CONFIG = { mediaType: "application/vnd.oci.image.config.v1+json", digest: digestOf("{}"), size: 2 };
const LAYER = {
  mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
  digest: digestOf("elsewhere"),
  size: 9,
};

function image(config: object, layer: object, more: object = {}): string {
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  return JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [layer], ...more });
}

/** The status of a push, and the place that the refusal names. */
async function push(client: RepositoryClient, body: string): Promise<readonly [number, string | undefined]> {
  const headers = { "content-type": "application/vnd.oci.image.manifest.v1+json" };
  const reply = await client.send("PUT", "manifests/latest", { headers, body });
  if (reply.status === 201) return [201, undefined];
  const { errors } = (await reply.json()) as { readonly errors: readonly { code: string; detail: { path: string } }[] };
  expect(errors.map(({ code }) => code)).toEqual(["MANIFEST_INVALID"]);
  return [reply.status, errors[0]?.detail.path];
}

async function repository(url: string): Promise<RepositoryClient> {
  await pushBlob(url, "team/app", "{}");
  return new RepositoryClient(url, "team/app");
}

describe("validation.manifests.urls", () => {
  test("of a settings file of distribution's lets in what allow names and deny does not", async () => {
    await using server = await startListening({ words: ["serve", await fileWith(DISTRIBUTION)] });
    const client = await repository(server.url);
    for (const url of ["https://example.com/layer", "http://a.b.example.com/layer?x=1"]) {
      expect(await push(client, image(CONFIG, { ...LAYER, urls: [url] }))).toEqual([201, undefined]);
    }
    for (const url of [
      "https://example.org/layer",
      "https://www.example.com/layer",
      "ftp://example.com/layer",
      "https://example.com/layer#part",
      "https://example.com/with space",
      "example.com/layer",
      "",
      `https://${"a.".repeat(1000)}example.com/${"x".repeat(2048)}`,
    ]) {
      expect([url, await push(client, image(CONFIG, { ...LAYER, urls: [url] }))]).toEqual([
        url,
        [400, "layers[0].urls[0]"],
      ]);
    }
    const wrong = ["https://example.org/x"];
    const good = ["https://example.com/x"];
    expect(await push(client, image(CONFIG, { ...LAYER, urls: [...good, ...wrong] }))).toEqual([
      400,
      "layers[0].urls[1]",
    ]);
    expect(await push(client, image({ ...CONFIG, urls: wrong }, { ...LAYER, urls: good }))).toEqual([
      400,
      "config.urls[0]",
    ]);
    const subject = { ...CONFIG, mediaType: "application/vnd.oci.image.manifest.v1+json", urls: wrong };
    expect(await push(client, image(CONFIG, CONFIG, { subject }))).toEqual([400, "subject.urls[0]"]);
    const many = Array.from({ length: 1001 }, () => good[0]);
    expect(await push(client, image(CONFIG, { ...LAYER, urls: many }))).toEqual([400, "layers[0].urls[1000]"]);
    expect(await push(client, image(CONFIG, LAYER))).toEqual([201, undefined]);
  });

  for (const [what, urls, allowed, refused] of [
    ["deny alone", "{deny: ['^http://']}", "https://anywhere.example/", "http://anywhere.example/"],
    ["allow alone", "{allow: ['^https://']}", "https://anywhere.example/", "http://anywhere.example/"],
    ["several of each", "{allow: [a, b], deny: [c, d]}", "https://b.x/", "https://a.d/"],
    ["an empty allow", "{allow: []}", undefined, "https://anywhere.example/"],
  ] as const) {
    test(`with ${what}`, async () => {
      const text = `validation: {manifests: {urls: ${urls}}}`;
      await using server = await startListening({ words: ["serve", await fileWith(text)] });
      const client = await repository(server.url);
      const pushed = (url: string) => push(client, image(CONFIG, { ...LAYER, urls: [url] }));
      if (allowed !== undefined) expect(await pushed(allowed)).toEqual([201, undefined]);
      expect(await pushed(refused)).toEqual([400, "layers[0].urls[0]"]);
    });
  }

  test("counts for nothing without a rule, and when validation is disabled", async () => {
    for (const text of ["validation: {manifests: {urls: {}}}", `${DISTRIBUTION}  disabled: true\n`]) {
      await using server = await startListening({ words: ["serve", await fileWith(text)] });
      const client = await repository(server.url);
      for (const url of ["https://example.org/", "ftp://example.com/"]) {
        expect(await push(client, image(CONFIG, { ...LAYER, urls: [url] }))).toEqual([201, undefined]);
      }
    }
  });

  test("with what is no regular expression stops the start", async () => {
    const path = await fileWith("validation: {manifests: {urls: {allow: [a, '(b']}}}");
    expect(await refusedStart({ words: ["serve", path] })).toMatch(
      /^stowage: validation\.manifests\.urls\.allow\.1 is "\(b", but expected a regular expression as Go has them: /,
    );
  });
});
