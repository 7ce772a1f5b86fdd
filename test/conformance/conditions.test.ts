/** Conditional requests (RFC 9110, 13): the entity tag of a manifest or blob is its digest in quotes. */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushImage, putManifest } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import { bytesOf, digestOf, imageIndex, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { request } from "../support/raw-request.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectManifestServed } from "./manifest-replies.ts";
import { POST_ONLY } from "./push-ways.ts";
import { holds } from "./sessions.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const OTHER = digestOf("something else");

describe("GET and HEAD", () => {
  const NAME = "conditions/read";
  const BYTES = bytesOf("conditions", 40_000);
  const BLOB = digestOf(BYTES);
  let image: PushedImage;

  beforeAll(async () => {
    image = await pushImage(registry().url, NAME, "v1");
    await POST_ONLY.push(repository(NAME), BYTES, BLOB);
  });

  interface Entity {
    readonly title: string;
    readonly path: () => string;
    readonly digest: () => string;
    readonly size: () => number;
  }
  const ENTITIES: readonly Entity[] = [
    {
      title: "a manifest by tag",
      path: () => "manifests/v1",
      digest: () => image.digest,
      size: () => image.body.length,
    },
    {
      title: "a manifest by digest",
      path: () => `manifests/${image.digest}`,
      digest: () => image.digest,
      size: () => image.body.length,
    },
    {
      title: "a small blob",
      path: () => `blobs/${image.config.digest}`,
      digest: () => image.config.digest,
      size: () => image.config.size,
    },
    { title: "a blob in a file", path: () => `blobs/${BLOB}`, digest: () => BLOB, size: () => BYTES.length },
  ];

  for (const { title, path, digest, size } of ENTITIES) {
    describe(title, () => {
      const matching: readonly (readonly [title: string, value: (digest: string) => string])[] = [
        ["in quotes", (own) => `"${own}"`],
        ["weak", (own) => `W/"${own}"`],
        ["bare, as some clients have it", (own) => own],
        ["in a list", (own) => `"${OTHER}", "${own}"`],
        ["of anything", () => "*"],
      ];
      for (const [how, value] of matching) {
        for (const method of ["GET", "HEAD"]) {
          test(`${method} with If-None-Match, ${how}: 304 without a body`, async () => {
            const target = `/v2/${NAME}/${path()}`;
            const headers = { "If-None-Match": value(digest()) };
            const reply = await request(registry().port, { method, target, headers });
            expect(reply.status).toBe(304);
            expect(reply.body).toBe("");
            // "The server generating a 304 response MUST generate … ETag" (RFC 9110, 15.4.5).
            expect(reply.headers["etag"]).toBe(`"${digest()}"`);
            expect(reply.headers["docker-content-digest"]).toBe(digest());
          });
        }
      }

      test("If-None-Match of something else: 200", async () => {
        for (const value of [`"${OTHER}"`, `"x", "${OTHER}"`, '""']) {
          for (const method of ["GET", "HEAD"]) {
            const reply = await repository(NAME).send(method, path(), { headers: { "if-none-match": value } });
            expect(reply.status).toBe(200);
            expect(reply.headers.get("content-length")).toBe(`${size()}`);
          }
        }
      });

      test("If-Match of it, or of anything: 200", async () => {
        for (const value of [`"${digest()}"`, `"${OTHER}", "${digest()}"`, "*"]) {
          for (const method of ["GET", "HEAD"]) {
            const reply = await repository(NAME).send(method, path(), { headers: { "if-match": value } });
            expect(reply.status).toBe(200);
            expect(reply.headers.get("content-length")).toBe(`${size()}`);
          }
        }
      });

      test("If-Match of something else: 412 and an error body, whose length is its own", async () => {
        const reply = await repository(NAME).get(path(), { "if-match": `"${OTHER}"` });
        await expectRefused(reply, 412, "UNSUPPORTED");
        const head = await request(registry().port, {
          method: "HEAD",
          target: `/v2/${NAME}/${path()}`,
          headers: { "If-Match": `"${OTHER}"` },
        });
        expect(head.status).toBe(412);
        expect(head.body).toBe("");
      });
    });
  }

  test("a condition on what is not there changes nothing: 404", async () => {
    for (const path of ["manifests/nobody", `manifests/${OTHER}`, `blobs/${OTHER}`]) {
      for (const headers of [{ "if-none-match": "*" }, { "if-none-match": `"${OTHER}"` }]) {
        expect((await repository(NAME).get(path, headers)).status).toBe(404);
      }
    }
  });

  test("If-None-Match wins over Range", async () => {
    const headers = { "if-none-match": `"${BLOB}"`, range: "bytes=0-9" };
    expect((await repository(NAME).get(`blobs/${BLOB}`, headers)).status).toBe(304);
    const other = await repository(NAME).get(`blobs/${BLOB}`, { ...headers, "if-none-match": `"${OTHER}"` });
    expect(other.status).toBe(206);
    expect(await holds(other, BYTES.slice(0, 10))).toBe(true);
  });

  test("a client that polls a tag learns that it moved", async () => {
    const polled = repository("conditions/polled");
    const one = await pushImage(registry().url, polled.name, "latest", "one");
    const headers = { "if-none-match": `"${one.digest}"` };
    expect((await polled.get("manifests/latest", headers)).status).toBe(304);
    const two = await pushImage(registry().url, polled.name, "latest", "two");
    const reply = await polled.get("manifests/latest", headers);
    expect(reply.status).toBe(200);
    expect(reply.headers.get("etag")).toBe(`"${two.digest}"`);
    expect(await reply.text()).toBe(two.body);
  });
});

const index = (seed: string): string => imageIndex([], { annotations: { seed } });
const put = (
  target: RepositoryClient,
  tag: string,
  body: string,
  headers: Readonly<Record<string, string>>,
): Promise<Response> => putManifest(registry().url, target.name, tag, body, OCI_INDEX, headers);

describe("PUT of a tag", () => {
  interface Row {
    readonly title: string;
    /** What the tag is before; undefined when it is not there. */
    readonly before: string | undefined;
    readonly headers: (before: string) => Readonly<Record<string, string>>;
    readonly status: 201 | 412;
  }
  const ROWS: readonly Row[] = [
    { title: "If-Match of what it is", before: "one", headers: (own) => ({ "if-match": `"${own}"` }), status: 201 },
    {
      title: "If-Match of a list with what it is",
      before: "one",
      headers: (own) => ({ "if-match": `"${OTHER}", "${own}"` }),
      status: 201,
    },
    { title: "If-Match of something else", before: "one", headers: () => ({ "if-match": `"${OTHER}"` }), status: 412 },
    {
      title: "If-Match of a tag that is not there",
      before: undefined,
      headers: () => ({ "if-match": `"${OTHER}"` }),
      status: 412,
    },
    {
      title: "If-Match of anything, and it is there",
      before: "one",
      headers: () => ({ "if-match": "*" }),
      status: 201,
    },
    {
      title: "If-Match of anything, and it is not there",
      before: undefined,
      headers: () => ({ "if-match": "*" }),
      status: 412,
    },
    {
      title: "If-None-Match of anything, and it is there",
      before: "one",
      headers: () => ({ "if-none-match": "*" }),
      status: 412,
    },
    {
      title: "If-None-Match of anything, and it is not there",
      before: undefined,
      headers: () => ({ "if-none-match": "*" }),
      status: 201,
    },
    {
      title: "If-None-Match of what it is",
      before: "one",
      headers: (own) => ({ "if-none-match": `"${own}"` }),
      status: 412,
    },
    {
      title: "If-None-Match of something else",
      before: "one",
      headers: () => ({ "if-none-match": `"${OTHER}"` }),
      status: 201,
    },
  ];
  for (const [at, { title, before, headers, status }] of ROWS.entries()) {
    test(`${title}: ${status}`, async () => {
      const target = repository(`conditions/put/${at}`);
      await put(target, "kept", index("kept"), {});
      const old = before === undefined ? undefined : index(before);
      if (old !== undefined) await put(target, "v1", old, {});
      const body = index(`new ${at}`);
      const reply = await put(target, "v1", body, headers(digestOf(old ?? "")));
      if (status === 201) {
        expect(reply.status).toBe(201);
        await expectManifestServed(target, "v1", digestOf(body), body, OCI_INDEX);
        return;
      }
      await expectRefused(reply, 412, "UNSUPPORTED");
      // Nothing changed: not the tag, and the manifest is not there either.
      expect((await target.head(`manifests/${digestOf(body)}`)).status).toBe(404);
      if (old === undefined) expect(await target.tags()).toEqual(["kept"]);
      else await expectManifestServed(target, "v1", digestOf(old), old, OCI_INDEX);
    });
  }

  test("If-None-Match of anything by many at once: one of them makes the tag", async () => {
    const target = repository("conditions/put/create-race");
    const bodies = Array.from({ length: 10 }, (_, at) => index(`creator ${at}`));
    const replies = await Promise.all(bodies.map((body) => put(target, "v1", body, { "if-none-match": "*" })));
    const statuses = replies.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 412)).toHaveLength(9);
    const winner = bodies[statuses.indexOf(201)]!;
    await expectManifestServed(target, "v1", digestOf(winner), winner, OCI_INDEX);
  });

  test("If-Match by many at once: one of them moves the tag", async () => {
    // "The client MAY use conditional HTTP requests to prevent overwriting a referrers list that has changed".
    const target = repository("conditions/put/move-race");
    let current = index("first");
    await put(target, "v1", current, {});
    for (let round = 0; round < 3; round++) {
      const headers = { "if-match": `"${digestOf(current)}"` };
      const bodies = Array.from({ length: 8 }, (_, at) => index(`${round}/${at}`));
      const statuses = (await Promise.all(bodies.map((body) => put(target, "v1", body, headers)))).map(
        (each) => each.status,
      );
      expect(statuses.filter((status) => status === 201)).toHaveLength(1);
      expect(statuses.filter((status) => status === 412)).toHaveLength(7);
      current = bodies[statuses.indexOf(201)]!;
      await expectManifestServed(target, "v1", digestOf(current), current, OCI_INDEX);
    }
  });
});

describe("DELETE of a tag", () => {
  test("If-Match of what it is: 202", async () => {
    const target = repository("conditions/delete/match");
    const image = await pushImage(registry().url, target.name, "v1");
    expect((await target.delete("manifests/v1", { "if-match": `"${image.digest}"` })).status).toBe(202);
    expect((await target.head("manifests/v1")).status).toBe(404);
    await expectManifestServed(target, image.digest, image.digest, image.body, OCI_MANIFEST);
  });

  test("If-Match of something else: 412, and it is still there", async () => {
    const target = repository("conditions/delete/mismatch");
    const image = await pushImage(registry().url, target.name, "v1");
    await expectRefused(await target.delete("manifests/v1", { "if-match": `"${OTHER}"` }), 412, "UNSUPPORTED");
    await expectManifestServed(target, "v1", image.digest, image.body, OCI_MANIFEST);
  });

  test("that is not there, with a condition: 404 or 412", async () => {
    const target = repository("conditions/delete/absent");
    await pushImage(registry().url, target.name, "v1");
    for (const value of ["*", `"${OTHER}"`]) {
      expect([404, 412]).toContain((await target.delete("manifests/v2", { "if-match": value })).status);
    }
    expect(await target.tags()).toEqual(["v1"]);
  });
});
