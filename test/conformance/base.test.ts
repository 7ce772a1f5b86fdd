/** What holds for the registry as a whole: `GET /v2/` (end-1), and what is on every reply. */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import type { PushedImage } from "../support/client.ts";
import { digestOf, OCI_INDEX, OCI_MANIFEST } from "../support/content.ts";
import type { RawReply } from "../support/raw.ts";
import { sendRaw } from "../support/raw.ts";
import { bodyOf, request, sendInTurns } from "../support/raw-request.ts";
import type { RawRequest } from "../support/raw-request.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { expectBlobCreated, openSession } from "./sessions.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

describe("GET /v2/ (end-1)", () => {
  // Both spellings: a redirect would cost a request, and turns a POST into a GET in some clients.
  for (const path of ["/v2/", "/v2"]) {
    test(`${path} says "this registry implements this specification"`, async () => {
      const reply = await fetch(`${registry().url}${path}`, { redirect: "manual" });
      expect(reply.status).toBe(200);
      expect(reply.headers.get("content-type")).toBe("application/json");
      expect(reply.headers.get("docker-distribution-api-version")).toBe("registry/2.0");
      expect(await reply.text()).toBe("{}");
    });

    test(`HEAD ${path} has the headers of GET and no body`, async () => {
      const reply = await request(registry().port, { method: "HEAD", target: path });
      expect(reply.status).toBe(200);
      expect(reply.headers).toMatchObject({
        "content-type": "application/json",
        "content-length": "2",
        "docker-distribution-api-version": "registry/2.0",
      });
      expect(reply.body).toBe("");
    });
  }

  test("HEAD carries Date, as GET does, also from the cache", async () => {
    for (const target of ["/v2/", "/v2/", "/healthz", "/no-such-page"]) {
      for (const method of ["GET", "HEAD"]) {
        const { headers } = await request(registry().port, { method, target });
        expect(new Date(headers["date"] ?? "").toUTCString()).toBe(headers["date"] ?? "no Date");
      }
    }
  });

  test("is not redirected and not challenged when the registry has no users", async () => {
    const reply = await fetch(`${registry().url}/v2/`, { redirect: "manual" });
    expect(reply.headers.get("www-authenticate")).toBeNull();
    expect(reply.headers.get("location")).toBeNull();
  });
});

describe("every reply under /v2/", () => {
  const NAME = "base/every-reply";
  const UNKNOWN = digestOf("nobody pushed this");
  const BYTES = "the blob of a single POST";
  let image: PushedImage;
  let location: string;

  beforeAll(async () => {
    image = await pushImage(registry().url, NAME, "v1");
    await pushImage(registry().url, NAME, "to-delete", "another");
    location = await openSession(repository(NAME));
  });

  interface Row {
    readonly title: string;
    readonly status: number;
    readonly request: () => RawRequest;
    /** The length is not known before the last byte. */
    readonly isStreamed?: true;
  }

  const path = (rest: string): string => `/v2/${NAME}/${rest}`;
  const ROWS: readonly Row[] = [
    { title: "the base", status: 200, request: () => ({ target: "/v2/" }) },
    { title: "a manifest", status: 200, request: () => ({ target: path("manifests/v1") }) },
    { title: "a manifest's head", status: 200, request: () => ({ method: "HEAD", target: path("manifests/v1") }) },
    { title: "a blob", status: 200, request: () => ({ target: path(`blobs/${image.config.digest}`) }) },
    {
      title: "a blob's head",
      status: 200,
      request: () => ({ method: "HEAD", target: path(`blobs/${image.config.digest}`) }),
    },
    {
      title: "a part of a blob",
      status: 206,
      request: () => ({ target: path(`blobs/${image.config.digest}`), headers: { Range: "bytes=0-9" } }),
    },
    {
      title: "a range that cannot be",
      status: 416,
      request: () => ({ target: path(`blobs/${image.config.digest}`), headers: { Range: "bytes=9-0" } }),
    },
    {
      title: "a manifest that the client has",
      status: 304,
      request: () => ({ target: path("manifests/v1"), headers: { "If-None-Match": `"${image.digest}"` } }),
    },
    {
      title: "a condition that does not hold",
      status: 412,
      request: () => ({ target: path("manifests/v1"), headers: { "If-Match": `"${UNKNOWN}"` } }),
    },
    { title: "the tags", status: 200, request: () => ({ target: path("tags/list") }), isStreamed: true },
    { title: "a page of tags", status: 200, request: () => ({ target: path("tags/list?n=1") }) },
    { title: "the catalog", status: 200, request: () => ({ target: "/v2/_catalog" }) },
    { title: "the referrers", status: 200, request: () => ({ target: path(`referrers/${image.digest}`) }) },
    { title: "a session begun", status: 202, request: () => ({ method: "POST", target: path("blobs/uploads/") }) },
    { title: "a chunk taken", status: 202, request: () => ({ method: "PATCH", target: location, body: "chunk" }) },
    { title: "the state of a session", status: 204, request: () => ({ target: location }) },
    {
      title: "a blob created",
      status: 201,
      request: () => ({ method: "POST", target: path(`blobs/uploads/?digest=${digestOf(BYTES)}`), body: BYTES }),
    },
    {
      title: "a manifest created",
      status: 201,
      request: () => ({
        method: "PUT",
        target: path("manifests/v2"),
        headers: { "Content-Type": OCI_MANIFEST },
        body: image.body,
      }),
    },
    {
      title: "a tag deleted",
      status: 202,
      request: () => ({ method: "DELETE", target: path("manifests/to-delete") }),
    },
    {
      title: "a session cancelled",
      status: 204,
      request: () => ({ method: "DELETE", target: location }),
    },
    { title: "an unknown blob", status: 404, request: () => ({ target: path(`blobs/${UNKNOWN}`) }) },
    { title: "an unknown tag", status: 404, request: () => ({ target: path("manifests/nobody") }) },
    { title: "an unknown repository", status: 404, request: () => ({ target: "/v2/base/nobody/tags/list" }) },
    { title: "an unknown path", status: 404, request: () => ({ target: "/v2/nothing" }) },
    { title: "a bad digest", status: 400, request: () => ({ target: path("blobs/sha256:bad") }) },
    { title: "a bad number", status: 400, request: () => ({ target: path("tags/list?n=x") }) },
    {
      title: "a method that is not possible",
      status: 405,
      request: () => ({ method: "POST", target: path("tags/list") }),
    },
  ];

  for (const { title, status, request: wanted, isStreamed } of ROWS) {
    test(`${status}, ${title}: its common headers`, async () => {
      const asked = wanted();
      // Go's clients ask for gzip by themselves, containerd for zstd: what is stored goes out as it is all the same.
      const headers = { ...asked.headers, "Accept-Encoding": "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5, br" };
      const reply = await request(registry().port, { ...asked, headers });
      expect(reply.status).toBe(status);
      expect(reply.headers["docker-distribution-api-version"]).toBe("registry/2.0");
      expect(reply.headers["content-encoding"]).toBeUndefined();
      // Bun names the file that it sends, unless it is told otherwise.
      expect(reply.headers["content-disposition"] ?? "").not.toContain("filename");
      if (reply.headers["content-type"] !== undefined) expect(reply.headers["content-type"]).not.toContain("charset");
      if (reply.headers["location"] !== undefined) expect(reply.headers["location"]).toStartWith("/v2/");
      if (reply.headers["warning"] !== undefined) expectWarnings(reply.headers["warning"]);
      if (!isStreamed) expectFraming(reply, asked.method);
    });
  }
});

describe("requests of an unusual form", () => {
  test("a GET that carries a body is answered like any other", async () => {
    const image = await pushImage(registry().url, "base/get-with-body", "v1");
    const reply = await request(registry().port, { target: "/v2/base/get-with-body/manifests/v1", body: "{}" });
    expect(reply.status).toBe(200);
    expect(reply.body).toBe(image.body);
  });

  test("a connection serves one request after the other", async () => {
    const image = await pushImage(registry().url, "base/keep-alive", "v1");
    const get = (more: string): string =>
      `GET /v2/base/keep-alive/manifests/v1 HTTP/1.1\r\nHost: ${registry().hostname}\r\n${more}\r\n`;
    const text = await sendInTurns(
      registry().port,
      Buffer.from(get("")),
      image.body,
      Buffer.from(get("Connection: close\r\n")),
    );
    expect(text.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(text.split(image.body)).toHaveLength(3);
  });

  test("HTTP/1.0 is served when it names a host, and the connection closes", async () => {
    const reply = await sendRaw(registry().port, `GET /v2/ HTTP/1.0\r\nHost: ${registry().hostname}\r\n\r\n`, {
      wholeConnection: true,
    });
    expect(reply.status).toBe(200);
    expect(reply.body).toBe("{}");
    expect(reply.closed).toBe(true);
  });

  test("a path may be percent-encoded", async () => {
    const image = await pushImage(registry().url, "base/encoded", "v1.0-rc_1");
    const digest = image.digest.replace(":", "%3A");
    const encoded = repository("base/encoded");
    expect((await encoded.get(`manifests/${digest}`)).status).toBe(200);
    expect((await encoded.get(`blobs/${image.config.digest.replace(":", "%3a")}`)).status).toBe(200);
    expect((await encoded.get(`referrers/${digest}`)).status).toBe(200);
    expect((await encoded.get("manifests/v1%2E0%2Drc%5F1")).status).toBe(200);
    expect((await encoded.get("%74ags/list")).status).not.toBe(500);
  });

  test("unknown parameters are ignored", async () => {
    const image = await pushImage(registry().url, "base/unknown-parameters", "v1");
    const unknown = repository("base/unknown-parameters");
    for (const path of ["manifests/v1", `blobs/${image.config.digest}`, "tags/list", `referrers/${image.digest}`]) {
      expect((await unknown.get(`${path}?x-unknown=1&flag`)).status).toBe(200);
    }
  });
});

describe("the ns parameter of proxies", () => {
  // "A registry MAY choose to ignore the ns query parameter." containerd sends it with pulls and with pushes.
  test("changes neither a pull nor a push", async () => {
    const image = await pushImage(registry().url, "base/ns", "v1");
    const proxied = repository("base/ns");
    for (const path of ["manifests/v1", `manifests/${image.digest}`, `blobs/${image.config.digest}`, "tags/list"]) {
      expect((await proxied.get(`${path}?ns=registry.example.org`)).status).toBe(200);
    }
    const referrers = await proxied.get(`referrers/${image.digest}?ns=registry.example.org`);
    expect(referrers.headers.get("content-type")).toBe(OCI_INDEX);

    const bytes = "pushed through a proxy";
    const digest = digestOf(bytes);
    const opened = await proxied.send("POST", "blobs/uploads/?ns=registry.example.org");
    expect(opened.status).toBe(202);
    const closed = await proxied.send(
      "PUT",
      `${opened.headers.get("location")}?ns=registry.example.org&digest=${digest}`,
      { body: bytes },
    );
    await expectBlobCreated(closed, proxied, digest, bytes);
  });
});

/** A length that is right; for 204 and 304 there is none to send. */
function expectFraming(reply: RawReply, method: string | undefined): void {
  if (reply.status === 204 || reply.status === 304) {
    expect(reply.body).toBe("");
  } else if (method === "HEAD") {
    expect(reply.headers["content-length"]).toMatch(/^\d+$/);
    expect(reply.body).toBe("");
  } else {
    expect(reply.headers["content-length"]).toBe(`${bodyOf(reply).length}`);
  }
}

/** "The value SHOULD … 299 - "<text>"", all of them together no more than 4096 bytes. */
function expectWarnings(warnings: string): void {
  expect(warnings).toMatch(/^299 - "(?:[^"\\]|\\.)*"(?:, 299 - "(?:[^"\\]|\\.)*")*$/);
  expect(Buffer.byteLength(warnings)).toBeLessThanOrEqual(4096);
}
