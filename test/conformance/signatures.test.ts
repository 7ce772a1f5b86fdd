/** The signature extension of containers/image: signatures beside manifests, over HTTP, behind its setting. */
import { describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { digestOf } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { useRegistry } from "../support/use-registry.ts";

const HEADER = "x-registry-supports-signatures";

describe("switched off, as it is by default", () => {
  const registry = useRegistry();

  test("no client is told of it, and there is nothing at its path", async () => {
    const { digest } = await pushImage(registry().url, "team/app", "latest");
    expect((await fetch(`${registry().url}/v2/`)).headers.get(HEADER)).toBeNull();
    const address = `${registry().url}/extensions/v2/team/app/signatures/${digest}`;
    await expectRefused(await fetch(address), 404, "UNSUPPORTED");
    await expectRefused(await fetch(address, { method: "PUT", body: "{}" }), 404, "UNSUPPORTED");
  });
});

describe("switched on", () => {
  const registry = useRegistry({ env: { REGISTRY_SIGNATURES_ENABLED: "true" } });
  const at = (digest: string, name = "team/app"): string =>
    `${registry().url}/extensions/v2/${name}/signatures/${digest}`;
  const put = (digest: string, body: unknown): Promise<Response> =>
    fetch(at(digest), { method: "PUT", body: typeof body === "string" ? body : JSON.stringify(body) });
  const listOf = async (digest: string): Promise<unknown> => {
    const reply = await fetch(at(digest));
    expect([reply.status, reply.headers.get("content-type")]).toEqual([200, "application/json"]);
    return await reply.json();
  };
  let seeds = 0;
  const image = async (): Promise<string> => (await pushImage(registry().url, "team/app", `v${++seeds}`, seeds)).digest;
  test("the base endpoint says so with exactly 1", async () => {
    expect((await fetch(`${registry().url}/v2/`)).headers.get(HEADER)).toBe("1");
  });

  test("an image without signatures has an empty list: anything else would keep clients from pulling it", async () => {
    const digest = await image();
    expect(await listOf(digest)).toEqual({ signatures: [] });
    const head = await fetch(at(digest), { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "17"]);
  });

  test("signatures are added with 201 and no body, and listed byte for byte", async () => {
    const digest = await image();
    const [one, two] = [signature(digest), signature(digest, "f".repeat(32), Buffer.alloc(2000, 7).toString("base64"))];
    for (const each of [one, two]) {
      const reply = await put(digest, each);
      expect([reply.status, await reply.text()]).toEqual([201, ""]);
    }
    expect(await listOf(digest)).toEqual({ signatures: [one, two] });
  });

  test("a type that is left out is atomic", async () => {
    const digest = await image();
    const { type: _, ...rest } = signature(digest);
    expect((await put(digest, { ...rest, type: "" })).status).toBe(201);
    expect(await listOf(digest)).toEqual({ signatures: [signature(digest)] });
  });

  test("a name is taken once", async () => {
    const digest = await image();
    expect((await put(digest, signature(digest))).status).toBe(201);
    await expectRefused(await put(digest, signature(digest, undefined, "b3RoZXI=")), 409, "SIGNATURE_EXISTS");
    expect(await listOf(digest)).toEqual({ signatures: [signature(digest)] });
  });

  test("signatures go with their manifest, and no other manifest's are shown", async () => {
    const [digest, other] = [await image(), await image()];
    await put(digest, signature(digest));
    expect(await listOf(other)).toEqual({ signatures: [] });
    expect((await fetch(`${registry().url}/v2/team/app/manifests/${digest}`, { method: "DELETE" })).status).toBe(202);
    await expectRefused(await fetch(at(digest)), 404, "MANIFEST_UNKNOWN");
  });

  test("what is not here cannot be signed", async () => {
    const absent = digestOf("absent");
    await image();
    await expectRefused(await put(absent, signature(absent)), 404, "MANIFEST_UNKNOWN");
    await expectRefused(await fetch(at(absent, "no/such")), 404, "MANIFEST_UNKNOWN");
  });

  test("what is no signature is refused, and changes nothing", async () => {
    const digest = await image();
    const good = signature(digest);
    const bad: readonly unknown[] = [
      "",
      "{",
      "[]",
      "null",
      { ...good, schemaVersion: 1 },
      { ...good, schemaVersion: "2" },
      { ...good, type: "sigstore" },
      { ...good, name: undefined },
      { ...good, name: digest },
      { ...good, name: `${digest}@` },
      { ...good, name: `${digest}@a/b` },
      { ...good, name: `${digest}@${"a".repeat(129)}` },
      { ...good, name: `${digestOf("other")}@abc` },
      { ...good, content: undefined },
      { ...good, content: "" },
      { ...good, content: "a" },
      { ...good, content: "not base64!!" },
      { ...good, content: "YQ==YQ==" },
    ];
    for (const body of bad) await expectRefused(await put(digest, body), 400, "SIGNATURE_INVALID");
    await expectRefused(await put(digest, " ".repeat(300_000)), 413, "SIGNATURE_INVALID");
    expect(await listOf(digest)).toEqual({ signatures: [] });
  });

  test("bad names and digests are refused like everywhere", async () => {
    const digest = await image();
    await expectRefused(await fetch(at(digest, "Team/App")), 400, "NAME_INVALID");
    await expectRefused(await fetch(at("sha256:abc")), 400, "DIGEST_INVALID");
    for (const path of ["/extensions/v2/", "/extensions/v2/team/app", `/extensions/v2/team/app/signatures/`]) {
      await expectRefused(await fetch(`${registry().url}${path}`), 404, "UNSUPPORTED");
    }
    await expectRefused(await fetch(at(digest), { method: "DELETE" }), 405, "UNSUPPORTED");
  });
});

/** A signature as clients send it. */
function signature(digest: string, id = "0123456789abcdef0123456789abcdef", content = "c2lnbmVk") {
  return { schemaVersion: 2, name: `${digest}@${id}`, type: "atomic", content };
}
