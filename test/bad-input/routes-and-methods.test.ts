/** Paths that lead nowhere (404) and methods that a path does not know (405 with `Allow`). */
import { beforeAll, describe, expect, test } from "bun:test";
import { request } from "../support/raw-request.ts";
import { expectRefused, testRefusals } from "./refusal.ts";
import type { BadRequest } from "./refusal.ts";
import { Session } from "./session.ts";
import { ABSENT, IMAGE, LAYER, REPOSITORY, testAliveAndQuiet, testUnchanged, useWitness } from "./witness.ts";

const witness = useWitness();

describe("a path that nothing answers to is refused with 404 UNSUPPORTED", () => {
  const targets = [
    "/v2/nothing",
    "/v2/_catalog/more",
    "/v2/nothing/at/all",
    `/v2/${REPOSITORY}`,
    `/v2/${REPOSITORY}/`,
    `/v2/${REPOSITORY}/tags`,
    `/v2/${REPOSITORY}/tags/v1`,
    `/v2/${REPOSITORY}/tags/list/more`,
    `/v2/${REPOSITORY}/tag/list`,
    `/v2/${REPOSITORY}/Tags/list`,
    `/v2/${REPOSITORY}/tags/LIST`,
    `/v2/${REPOSITORY}/manifests`,
    `/v2/${REPOSITORY}/manifest/v1`,
    `/v2/${REPOSITORY}/MANIFESTS/v1`,
    `/v2/${REPOSITORY}/manifests/v1/more`,
    `/v2/${REPOSITORY}/blobs`,
    `/v2/${REPOSITORY}/blob/${LAYER.digest}`,
    `/v2/${REPOSITORY}/blobs/${LAYER.digest}/more`,
    `/v2/${REPOSITORY}/referrers`,
    `/v2/${REPOSITORY}/referrers/${IMAGE.digest}/more`,
    "/v1/search",
    "/v1/",
    "/v3/",
    "/V2/",
    "/v2x",
    "/no-such-page",
    "/.env",
    "/.git/config",
    "/etc/passwd",
  ];
  testRefusals(
    () => witness().registry,
    targets.map((target): BadRequest => ({
      title: target.slice(0, 60),
      request: { target },
      expected: "404 UNSUPPORTED",
    })),
  );

  test("whatever the method", async () => {
    const { registry } = witness();
    for (const method of ["HEAD", "POST", "PUT", "PATCH", "DELETE"]) {
      for (const target of ["/v2/nothing", `/v2/${ABSENT}/nothing/at/all`, "/no-such-page"]) {
        await expectRefused(registry, { method, target, body: "anything" }, "404 UNSUPPORTED");
      }
    }
  });

  test("with a query that says otherwise", async () => {
    const target = `/v2/nothing?path=/v2/${REPOSITORY}/manifests/v1`;
    await expectRefused(witness().registry, { target }, "404 UNSUPPORTED");
  });
  testUnchanged(witness, ABSENT);
});

describe("a path whose last part is missing is refused with 404 or 400", () => {
  const rows: readonly BadRequest[] = [
    {
      title: "no tag or digest",
      request: { target: `/v2/${REPOSITORY}/manifests/` },
      expected: ["404 MANIFEST_UNKNOWN", "404 UNSUPPORTED", "404 NAME_UNKNOWN"],
    },
    {
      title: "no digest of a blob",
      request: { target: `/v2/${REPOSITORY}/blobs/` },
      expected: ["400 DIGEST_INVALID", "404 UNSUPPORTED", "404 NAME_UNKNOWN"],
    },
    {
      title: "no digest of a subject",
      request: { target: `/v2/${REPOSITORY}/referrers/` },
      expected: ["400 DIGEST_INVALID", "404 UNSUPPORTED", "404 NAME_UNKNOWN"],
    },
    {
      title: "two slashes before v2",
      request: { target: `//v2/${REPOSITORY}/manifests/v1` },
      expected: ["404 UNSUPPORTED", "404 NAME_UNKNOWN"],
    },
    {
      title: "a fragment, which no client sends",
      request: { target: `/v2/${REPOSITORY}#/manifests/v1` },
      expected: ["404 UNSUPPORTED", "404 NAME_UNKNOWN", "400 NAME_INVALID"],
    },
  ];
  testRefusals(() => witness().registry, rows);
  testUnchanged(witness);
});

describe("an extension that is not here is refused with 404", () => {
  const targets = [
    "/v2/_nothing",
    "/v2/_oci/ext/nothing",
    `/v2/${REPOSITORY}/_oci/ext/nothing`,
    `/v2/${REPOSITORY}/_nothing/at/all`,
  ];
  testRefusals(
    () => witness().registry,
    targets.map((target): BadRequest => ({
      title: target,
      request: { target },
      expected: ["404 UNSUPPORTED", "404 EXTENSION_UNKNOWN"],
    })),
  );
  testUnchanged(witness);
});

describe("a method that a path does not know is refused with 405 UNSUPPORTED, and Allow names those it knows", () => {
  let session: Session;
  beforeAll(async () => {
    session = await Session.open(witness().registry);
  });

  const rows: readonly {
    readonly title: string;
    readonly target: () => string;
    readonly allowed: readonly string[];
    readonly refused: readonly string[];
  }[] = [
    {
      title: "the base",
      target: () => "/v2/",
      allowed: ["GET", "HEAD"],
      refused: ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"],
    },
    {
      title: "the base without its slash",
      target: () => "/v2",
      allowed: ["GET", "HEAD"],
      refused: ["POST", "PUT", "PATCH", "DELETE"],
    },
    {
      title: "the catalog",
      target: () => "/v2/_catalog",
      allowed: ["GET"],
      refused: ["POST", "PUT", "PATCH", "DELETE"],
    },
    {
      title: "a tag list",
      target: () => `/v2/${REPOSITORY}/tags/list`,
      allowed: ["GET"],
      refused: ["POST", "PUT", "PATCH", "DELETE"],
    },
    {
      title: "a manifest by tag",
      target: () => `/v2/${REPOSITORY}/manifests/v1`,
      allowed: ["GET", "HEAD", "PUT", "DELETE"],
      refused: ["POST", "PATCH", "TRACE", "PROPFIND", "COPY", "MOVE"],
    },
    {
      title: "a manifest by digest",
      target: () => `/v2/${REPOSITORY}/manifests/${IMAGE.digest}`,
      allowed: ["GET", "HEAD", "PUT", "DELETE"],
      refused: ["POST", "PATCH"],
    },
    {
      title: "a manifest of a repository that is not here",
      target: () => `/v2/${ABSENT}/manifests/v1`,
      allowed: ["GET", "HEAD", "PUT", "DELETE"],
      refused: ["POST", "PATCH"],
    },
    {
      title: "a blob",
      target: () => `/v2/${REPOSITORY}/blobs/${LAYER.digest}`,
      allowed: ["GET", "HEAD", "DELETE"],
      refused: ["POST", "PUT", "PATCH", "TRACE"],
    },
    {
      title: "where uploads begin",
      target: () => `/v2/${REPOSITORY}/blobs/uploads/`,
      allowed: ["POST"],
      refused: ["GET", "HEAD", "PUT", "PATCH", "DELETE"],
    },
    {
      title: "where uploads begin, without its slash",
      target: () => `/v2/${REPOSITORY}/blobs/uploads`,
      allowed: ["POST"],
      refused: ["GET", "HEAD", "PUT", "PATCH", "DELETE"],
    },
    {
      title: "an upload",
      target: () => session.path,
      allowed: ["GET", "PATCH", "PUT", "DELETE"],
      refused: ["POST", "TRACE"],
    },
    {
      title: "referrers",
      target: () => `/v2/${REPOSITORY}/referrers/${IMAGE.digest}`,
      allowed: ["GET"],
      refused: ["POST", "PUT", "PATCH", "DELETE"],
    },
  ];
  for (const { title, target, allowed, refused } of rows) {
    for (const method of refused) {
      test(`${method} ${title}`, async () => {
        const reply = await expectRefused(
          witness().registry,
          { method, target: target(), body: "what nobody asked for" },
          "405 UNSUPPORTED",
        );
        // RFC 9110, 15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
        const named = (reply.headers["allow"] ?? "").split(/\s*,\s*/);
        expect(named).toEqual(expect.arrayContaining([...allowed]));
        expect(named).not.toContain(method);
      });
    }
  }

  test("the upload is as it was, and goes on", async () => {
    await session.expectSize(0);
    await session.cancel();
  });
  testUnchanged(witness, ABSENT);
});

describe("a method that would make a client change its mind is never answered with a redirect", () => {
  // Go's client turns a POST that is answered with 301 or 302 into a GET.
  test("POST to where uploads begin is 202 with the slash and without", async () => {
    for (const target of [`/v2/${REPOSITORY}/blobs/uploads/`, `/v2/${REPOSITORY}/blobs/uploads`]) {
      const reply = await request(witness().registry.port, { method: "POST", target });
      expect(reply.status).toBe(202);
    }
  });
  testUnchanged(witness);
});

testAliveAndQuiet(witness);
