/** Pushing blobs, and the life of a session (distribution-spec, "Pushing blobs", end-4a to 4c, 5, 6, 13, 14). */
import { describe, expect, test } from "bun:test";
import { bytesOf, digestOf } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { formatRequest, request, sendAndHangUp, sendInTurns } from "../support/raw-request.ts";
import { RepositoryClient, streamOf } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { PUSH_WAYS } from "./push-ways.ts";
import {
  closeSession,
  expectBlobCreated,
  expectSession,
  expectSessionSize,
  openSession,
  sendChunk,
  sessionWith,
  withQuery,
} from "./sessions.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const ALGORITHMS = ["sha256", "sha512"] as const;

const BLOB = bytesOf("uploads", 1000);
const DIGEST = digestOf(BLOB);

for (const algorithm of ALGORITHMS) {
  describe(`a ${algorithm} blob is pushed by`, () => {
    for (const { title, push } of PUSH_WAYS) {
      // 512 bytes and 3 * 1024 - 5 are the official suite's; the others cross from inline into a file, and its buffers.
      for (const size of [0, 2, 512, 3 * 1024 - 5, 16 * 1024, 16 * 1024 + 1, 700_001]) {
        test(`${title}: ${size} bytes`, async () => {
          const uploads = repository(`uploads/${algorithm}/${slug(title)}/${size}`);
          const bytes = bytesOf(`${algorithm}/${title}`, size);
          const digest = digestOf(bytes, algorithm);
          await expectBlobCreated(await push(uploads, bytes, digest), uploads, digest, bytes);

          const head = await uploads.head(`blobs/${digest}`);
          expect(head.status).toBe(200);
          expect(head.headers.get("content-length")).toBe(`${size}`);
          expect(head.headers.get("docker-content-digest")).toBe(digest);
          expect((await uploads.delete(`blobs/${digest}`)).status).toBe(202);
          expect((await uploads.head(`blobs/${digest}`)).status).toBe(404);
        });
      }

      test(`${title}: bytes that have another digest are refused`, async () => {
        const uploads = repository(`uploads/${algorithm}/${slug(title)}/bad`);
        const bytes = bytesOf(`${algorithm}/${title}`, 512);
        const wrong = digestOf("something else", algorithm);
        await expectRefused(await push(uploads, bytes, wrong), 400, "DIGEST_INVALID");
        for (const digest of [wrong, digestOf(bytes, algorithm)]) {
          expect((await uploads.head(`blobs/${digest}`)).status).toBe(404);
        }
      });
    }

    test(`a client that pushes it twice: both are answered with 201`, async () => {
      const uploads = repository(`uploads/${algorithm}/twice`);
      const digest = digestOf(BLOB, algorithm);
      for (const { push } of PUSH_WAYS) {
        await expectBlobCreated(await push(uploads, BLOB, digest), uploads, digest, BLOB);
      }
    });

    test(`many clients at once`, async () => {
      const uploads = repository(`uploads/${algorithm}/at-once`);
      const bytes = bytesOf("at once", 40_000);
      const digest = digestOf(bytes, algorithm);
      const pushes = Array.from({ length: 12 }, (_, at) =>
        PUSH_WAYS[at % PUSH_WAYS.length]!.push(uploads, bytes, digest),
      );
      for (const reply of await Promise.all(pushes)) await expectBlobCreated(reply, uploads, digest, bytes);
    });
  });
}

describe("POST opens a session (end-4a)", () => {
  for (const path of ["blobs/uploads/", "blobs/uploads"]) {
    test(`${path}: 202, where to send the bytes, and nothing received`, async () => {
      const uploads = repository("uploads/open");
      const reply = await uploads.send("POST", path);
      expectSession(reply, uploads, 202, 0);
      // "If the registry has a minimum chunk size": this one has none.
      expect(reply.headers.get("oci-chunk-min-length")).toBeNull();
      expect(reply.headers.get("docker-content-digest")).toBeNull();
    });
  }

  test("every session has an address of its own", async () => {
    const uploads = repository("uploads/open-many");
    const locations = await Promise.all(Array.from({ length: 20 }, () => openSession(uploads)));
    expect(new Set(locations).size).toBe(20);
  });

  test("whatever the content type of the empty body is", async () => {
    // crane says application/json.
    const uploads = repository("uploads/content-type");
    for (const type of ["application/json", "application/octet-stream", "text/plain; charset=utf-8"]) {
      const reply = await uploads.send("POST", "blobs/uploads/", { headers: { "content-type": type } });
      expectSession(reply, uploads, 202, 0);
    }
  });

  test("with an explicit Content-Length: 0, and without any", async () => {
    const target = "/v2/uploads/lengths/blobs/uploads/";
    const without = `POST ${target} HTTP/1.1\r\nHost: ${registry().hostname}\r\nConnection: close\r\n\r\n`;
    const text = await sendInTurns(registry().port, Buffer.from(without), "never", Buffer.alloc(0));
    expect(text).toStartWith("HTTP/1.1 202");
    const reply = await request(registry().port, { method: "POST", target, headers: { "Content-Length": "0" } });
    expect(reply.status).toBe(202);
  });

  test("in a repository that did not exist: pushing needs no other step", async () => {
    const uploads = repository("uploads/new/repository");
    await expectRefused(await uploads.get("tags/list"), 404, "NAME_UNKNOWN");
    await expectBlobCreated(await PUSH_WAYS[1]!.push(uploads, BLOB, DIGEST), uploads, DIGEST, BLOB);
    expect(await uploads.tags()).toEqual([]);
  });
});

describe("digest-algorithm on the POST (end-4c)", () => {
  for (const announced of ALGORITHMS) {
    for (const used of ALGORITHMS) {
      test(`${announced} announced, ${used} used: it is but a hint`, async () => {
        const uploads = repository(`uploads/algorithm/${announced}/${used}`);
        let location = await openSession(uploads, `?digest-algorithm=${announced}`);
        location = await sendChunk(uploads, location, BLOB.slice(0, 600), 0);
        const digest = digestOf(BLOB, used);
        const reply = await closeSession(uploads, location, digest, BLOB.slice(600));
        await expectBlobCreated(reply, uploads, digest, BLOB);
      });
    }
  }

  test("together with digest: a single POST", async () => {
    const uploads = repository("uploads/algorithm/single");
    const digest = digestOf(BLOB, "sha512");
    const path = `blobs/uploads/?digest-algorithm=sha512&digest=${digest}`;
    await expectBlobCreated(await uploads.send("POST", path, { body: BLOB }), uploads, digest, BLOB);
  });

  test("one that the registry does not know is refused", async () => {
    const uploads = repository("uploads/algorithm/unknown");
    for (const algorithm of ["md5", "sha3-256", "SHA256", ""]) {
      const reply = await uploads.send("POST", `blobs/uploads/?digest-algorithm=${algorithm}`);
      await expectRefused(reply, 400, "DIGEST_INVALID");
    }
  });
});

describe("a single POST (end-4b)", () => {
  test("that breaks no rule is stored as a whole, or not at all", async () => {
    const uploads = repository("uploads/single");
    for (const digest of ["sha256:zz", `md5:${"a".repeat(32)}`, "", digestOf("something else")]) {
      const reply = await uploads.send("POST", `blobs/uploads/?digest=${digest}`, { body: BLOB });
      await expectRefused(reply, 400, "DIGEST_INVALID");
    }
    expect((await uploads.head(`blobs/${DIGEST}`)).status).toBe(404);
  });

  test("with a stream for a body", async () => {
    const uploads = repository("uploads/single-stream");
    const body = streamOf(BLOB.slice(0, 300), BLOB.slice(300));
    const reply = await uploads.send("POST", `blobs/uploads/?digest=${DIGEST}`, { body });
    await expectBlobCreated(reply, uploads, DIGEST, BLOB);
  });

  test("of an empty body is the empty blob", async () => {
    const empty = repository("uploads/single-empty");
    const digest = digestOf("");
    await expectBlobCreated(await empty.send("POST", `blobs/uploads/?digest=${digest}`), empty, digest, "");
  });
});

describe("GET tells how far a session is (end-13)", () => {
  for (const method of ["GET", "HEAD"]) {
    test(`${method}: 204, Location, Range, no body and no length`, async () => {
      const uploads = repository("uploads/status");
      const location = await sessionWith(uploads, BLOB);
      const reply = await request(registry().port, { method, target: location });
      expect(reply.status).toBe(204);
      expect(reply.headers["range"]).toBe(`0-${BLOB.length - 1}`);
      expect(reply.headers["location"]).toBe(location);
      expect(reply.headers["docker-upload-uuid"]).not.toBe("");
      expect(reply.headers["content-length"]).toBeUndefined();
      expect(reply.body).toBe("");
    });
  }

  test("with nothing received it says 0-0", async () => {
    const uploads = repository("uploads/status-empty");
    await expectSessionSize(uploads, await openSession(uploads), 0);
  });

  test("at any Location that the session ever had, and with more of a query", async () => {
    // "the URL obtained from any preceding POST or PATCH request"
    const uploads = repository("uploads/status-stale");
    const locations = [await openSession(uploads)];
    for (const start of [0, 400]) {
      locations.push(await sendChunk(uploads, locations.at(-1)!, BLOB.slice(start, start + 400), start));
    }
    for (const location of locations) {
      await expectSessionSize(uploads, location, 800);
      await expectSessionSize(uploads, withQuery(location, `digest=${DIGEST}`), 800);
      await expectSessionSize(uploads, withQuery(location, "ns=example.org&x=1"), 800);
    }
  });
});

describe("a Location says where the session stood when it was given", () => {
  test("a stream that is sent there again returns 416 and adds nothing: its first answer may have been lost", async () => {
    const uploads = repository("uploads/sent-again");
    const location = expectSession(await uploads.get(await openSession(uploads)), uploads, 204);
    const half = BLOB.slice(0, 500);
    await sendChunk(uploads, location, half);
    for (const attempt of [
      uploads.send("PATCH", location, { body: half }),
      uploads.send("PUT", withQuery(location, `digest=${DIGEST}`), { body: BLOB }),
    ]) {
      const refused = await attempt;
      await expectRefused(refused, 416, "BLOB_UPLOAD_INVALID");
      const next = refused.headers.get("location") ?? "";
      expect(refused.headers.get("range")).toBe("0-499");
      await expectSessionSize(uploads, next, 500);
    }
    const next = expectSession(await uploads.get(location), uploads, 204, 500);
    await expectBlobCreated(await closeSession(uploads, next, DIGEST, BLOB.slice(500)), uploads, DIGEST, BLOB);
  });

  test("a chunk with a Content-Range, and a request without bytes, may go to any of them", async () => {
    const uploads = repository("uploads/any-location");
    const stale = expectSession(await uploads.get(await openSession(uploads)), uploads, 204);
    await sendChunk(uploads, stale, BLOB.slice(0, 500));
    await sendChunk(uploads, stale, BLOB.slice(500), 500);
    expectSession(await uploads.send("PATCH", stale), uploads, 202, BLOB.length);
    await expectBlobCreated(await closeSession(uploads, stale, DIGEST), uploads, DIGEST, BLOB);
  });

  test("the one of the POST takes streams wherever the session stands, as its path alone does", async () => {
    const uploads = repository("uploads/first-location");
    for (const cut of [(location: string) => location, (location: string) => location.split("?")[0] ?? ""]) {
      const location = cut(await openSession(uploads));
      await sendChunk(uploads, location, BLOB.slice(0, 500));
      await sendChunk(uploads, location, BLOB.slice(500, 600));
      await expectBlobCreated(await closeSession(uploads, location, DIGEST, BLOB.slice(600)), uploads, DIGEST, BLOB);
    }
  });

  test("digest= may be appended with & and with ?, as scripts do without looking", async () => {
    const uploads = repository("uploads/appended");
    for (const mark of ["&", "?"]) {
      const first = await openSession(uploads);
      const next = await sendChunk(uploads, await openSession(uploads), BLOB);
      const whole = await uploads.send("PUT", `${first}${mark}digest=${DIGEST}`, { body: BLOB });
      await expectBlobCreated(whole, uploads, DIGEST, BLOB);
      const closed = await uploads.send("PUT", `${next}${mark}digest=${DIGEST}`);
      await expectBlobCreated(closed, uploads, DIGEST, BLOB);
    }
  });

  test("one that was never given returns 416, and the session stays where it was", async () => {
    const uploads = repository("uploads/made-up");
    const [path = ""] = (await sessionWith(uploads, BLOB)).split("?");
    for (const offset of ["-1", "x", "1e3", "9".repeat(400), "1023", "0"]) {
      const made = `${path}?offset=${offset}`;
      await expectRefused(await uploads.send("PATCH", made, { body: "more" }), 416, "BLOB_UPLOAD_INVALID");
      await expectSessionSize(uploads, made, BLOB.length);
    }
    await expectBlobCreated(await closeSession(uploads, path, DIGEST), uploads, DIGEST, BLOB);
  });
});

describe("a session that is not there answers 404 to every request", () => {
  const rows: readonly (readonly [title: string, lose: (uploads: RepositoryClient) => Promise<string>])[] = [
    [
      "never opened",
      (uploads) => Promise.resolve(`${uploads.path}/blobs/uploads/0f8fad5b-d9cb-469f-a165-70867728950e`),
    ],
    ["an id that is no id", (uploads) => Promise.resolve(`${uploads.path}/blobs/uploads/nobody`)],
    [
      "cancelled",
      async (uploads) => {
        const location = await sessionWith(uploads, BLOB);
        expect((await uploads.delete(location)).status).toBe(204);
        return location;
      },
    ],
    [
      "completed",
      async (uploads) => {
        const location = await sessionWith(uploads, BLOB);
        expect((await closeSession(uploads, location, DIGEST)).status).toBe(201);
        return location;
      },
    ],
    [
      "ended by bytes that did not match",
      async (uploads) => {
        const location = await sessionWith(uploads, BLOB);
        await expectRefused(await closeSession(uploads, location, digestOf("other")), 400, "DIGEST_INVALID");
        return location;
      },
    ],
    [
      "of another repository",
      async (uploads) => {
        const location = await openSession(repository("uploads/not-there/neighbour"));
        return location.replace("/uploads/not-there/neighbour/", `/${uploads.name}/`);
      },
    ],
  ];
  for (const [title, lose] of rows) {
    test(title, async () => {
      const uploads = repository(`uploads/not-there/${slug(title)}`);
      await uploads.send("POST", `blobs/uploads/?digest=${digestOf("x")}`, { body: "x" });
      const location = await lose(uploads);
      await expectRefused(await uploads.get(location), 404, "BLOB_UPLOAD_UNKNOWN");
      await expectRefused(await uploads.send("PATCH", location, { body: BLOB }), 404, "BLOB_UPLOAD_UNKNOWN");
      await expectRefused(await closeSession(uploads, location, DIGEST, BLOB), 404, "BLOB_UPLOAD_UNKNOWN");
      await expectRefused(await uploads.delete(location), 404, "BLOB_UPLOAD_UNKNOWN");
    });
  }
});

describe("DELETE cancels a session (end-14)", () => {
  test("that has nothing yet: 204", async () => {
    const uploads = repository("uploads/cancel");
    const reply = await uploads.delete(await openSession(uploads));
    expect(reply.status).toBe(204);
    expect(await reply.text()).toBe("");
  });

  test("that has bytes: 204, and they are gone", async () => {
    const uploads = repository("uploads/cancel-bytes");
    const location = await sessionWith(uploads, bytesOf("cancelled", 50_000));
    expect((await uploads.delete(location)).status).toBe(204);
    await expectRefused(await uploads.get(location), 404, "BLOB_UPLOAD_UNKNOWN");
  });

  test("by an address that it had before: 204", async () => {
    const uploads = repository("uploads/cancel-stale");
    const first = await openSession(uploads);
    const second = await sendChunk(uploads, first, BLOB, 0);
    expect((await uploads.delete(first)).status).toBe(204);
    await expectRefused(await uploads.get(second), 404, "BLOB_UPLOAD_UNKNOWN");
  });

  test("and no other", async () => {
    const uploads = repository("uploads/cancel-one");
    const [one, other] = [await sessionWith(uploads, BLOB), await sessionWith(uploads, BLOB)];
    expect((await uploads.delete(one)).status).toBe(204);
    await expectBlobCreated(await closeSession(uploads, other, DIGEST), uploads, DIGEST, BLOB);
  });
});

describe("PUT closes a session (end-6)", () => {
  test("with a query in any order, and unknown parameters", async () => {
    const uploads = repository("uploads/query");
    for (const query of [
      `x=1&digest=${DIGEST}`,
      `digest=${DIGEST}&ns=example.org`,
      `a=&digest=${DIGEST.replace(":", "%3A")}`,
    ]) {
      const location = withQuery(await openSession(uploads), query);
      await expectBlobCreated(await uploads.send("PUT", location, { body: BLOB }), uploads, DIGEST, BLOB);
    }
  });

  test("with digest on the PATCH before it, as regclient has it", async () => {
    const uploads = repository("uploads/query-on-patch");
    const location = withQuery(await openSession(uploads), `digest=${DIGEST}`);
    const next = expectSession(await uploads.send("PATCH", location, { body: BLOB }), uploads, 202, BLOB.length);
    await expectBlobCreated(await closeSession(uploads, next, DIGEST), uploads, DIGEST, BLOB);
  });

  test("with the digest repeated", async () => {
    const uploads = repository("uploads/repeated-digest");
    const location = withQuery(await openSession(uploads), `digest=${DIGEST}&digest=${DIGEST}`);
    await expectBlobCreated(await uploads.send("PUT", location, { body: BLOB }), uploads, DIGEST, BLOB);
  });

  test("two digests that disagree are refused", async () => {
    const uploads = repository("uploads/two-digests");
    for (const digests of [
      [DIGEST, digestOf("other")],
      [digestOf("other"), DIGEST],
    ]) {
      const location = withQuery(await openSession(uploads), digests.map((digest) => `digest=${digest}`).join("&"));
      await expectRefused(await uploads.send("PUT", location, { body: BLOB }), 400, "DIGEST_INVALID");
      expect((await uploads.head(`blobs/${DIGEST}`)).status).toBe(404);
    }
  });

  test("whatever the content type of the bytes is", async () => {
    const uploads = repository("uploads/octets");
    for (const type of [
      "application/json",
      "application/vnd.oci.image.layer.v1.tar+gzip",
      "text/plain; charset=utf-8",
    ]) {
      const headers = { "content-type": type };
      const patched = await uploads.send("PATCH", await openSession(uploads), { body: BLOB.slice(0, 500), headers });
      const location = expectSession(patched, uploads, 202, 500);
      const reply = await closeSession(uploads, location, DIGEST, BLOB.slice(500), headers);
      await expectBlobCreated(reply, uploads, DIGEST, BLOB);
    }
  });

  test("at the Location of the POST, after PATCHes that gave others", async () => {
    const uploads = repository("uploads/put-stale");
    const first = await openSession(uploads);
    await sendChunk(uploads, first, BLOB.slice(0, 500), 0);
    await expectBlobCreated(await closeSession(uploads, first, DIGEST, BLOB.slice(500)), uploads, DIGEST, BLOB);
  });

  describe("and keeps it as it was when no digest, or none that the registry knows, comes with it", () => {
    for (const query of ["", "digest=", "digest=sha256:zz", `digest=md5:${"a".repeat(32)}`, "digest=latest"]) {
      for (const body of [undefined, BLOB.slice(600)]) {
        test(`${query === "" ? "no query" : query}, ${body ? "with" : "without"} a body`, async () => {
          const uploads = repository(`uploads/no-digest/${slug(`q${query}`)}/${body ? "body" : "none"}`);
          const location = await sessionWith(uploads, BLOB.slice(0, 600));
          const reply = await uploads.send(
            "PUT",
            query === "" ? location : withQuery(location, query),
            body ? { body } : {},
          );
          // A client can go on from a refusal that says both.
          expectSession(reply, uploads, 400, 600);
          await expectRefused(reply, 400, "DIGEST_INVALID");
          await expectSessionSize(uploads, location, 600);
          const closed = await closeSession(uploads, location, DIGEST, BLOB.slice(600));
          await expectBlobCreated(closed, uploads, DIGEST, BLOB);
        });
      }
    }
  });
});

describe("a push that breaks off", () => {
  test("of a PUT's body nothing is kept: the client sends the whole again to the same address", async () => {
    const uploads = repository("uploads/broken-put");
    const bytes = bytesOf("broken put", 200_000);
    const digest = digestOf(bytes);
    const location = await sessionWith(uploads, bytes.slice(0, 50_000));
    const rest = bytes.slice(50_000);
    const target = withQuery(location, `digest=${digest}`);
    const whole = formatRequest({ method: "PUT", target, body: rest }, registry().hostname);
    await sendAndHangUp(registry().port, whole.subarray(0, whole.length - 100_000));
    await expectBlobCreated(await persist(() => uploads.send("PUT", target, { body: rest })), uploads, digest, bytes);
  });

  test("of a PATCH with Content-Range nothing is kept: the client sends the same chunk again", async () => {
    const uploads = repository("uploads/broken-chunk");
    const bytes = bytesOf("broken chunk", 200_000);
    const digest = digestOf(bytes);
    const location = await sessionWith(uploads, bytes.slice(0, 50_000));
    const rest = bytes.slice(50_000);
    const headers = { "content-range": "50000-199999" };
    const whole = formatRequest({ method: "PATCH", target: location, body: rest, headers }, registry().hostname);
    await sendAndHangUp(registry().port, whole.subarray(0, whole.length - 100_000));
    const patched = await persist(() => uploads.send("PATCH", location, { body: rest, headers }));
    expectSession(patched, uploads, 202, 200_000);
    await expectBlobCreated(await closeSession(uploads, location, digest), uploads, digest, bytes);
  });

  test("of a PATCH without Content-Range what arrived counts: the client goes on from there", async () => {
    const uploads = repository("uploads/broken-stream");
    const bytes = bytesOf("broken stream", 200_000);
    const digest = digestOf(bytes);
    const location = await openSession(uploads);
    const whole = formatRequest({ method: "PATCH", target: location, body: bytes }, registry().hostname);
    await sendAndHangUp(registry().port, whole.subarray(0, whole.length - 100_000));
    const closed = await persist(async () => {
      const status = await uploads.get(location);
      const last = Number(/^0-(\d+)$/.exec(expectRange(status))?.[1]);
      const start = last === 0 ? 0 : last + 1;
      expect(start).toBeLessThanOrEqual(100_000);
      const headers = { "content-range": `${start}-${bytes.length - 1}` };
      return await closeSession(uploads, location, digest, bytes.slice(start), headers);
    });
    await expectBlobCreated(closed, uploads, digest, bytes);
  });
});

describe("two requests on one session at the same time", () => {
  test("of two chunks for the same place one is taken, and the bytes are its", async () => {
    const uploads = repository("uploads/concurrent-chunks");
    for (let round = 0; round < 5; round++) {
      const location = await openSession(uploads);
      const chunks = ["one", "two"].map((seed) => bytesOf(`${seed}/${round}`, 60_000));
      const replies = await Promise.all(
        chunks.map((body) => uploads.send("PATCH", location, { body, headers: { "content-range": "0-59999" } })),
      );
      const statuses = replies.map(({ status }) => status);
      expect(statuses).toContain(202);
      expect(statuses.filter((status) => status === 409 || status === 416)).toHaveLength(1);
      const taken = chunks[statuses.indexOf(202)]!;
      const digest = digestOf(taken);
      await expectBlobCreated(await closeSession(uploads, location, digest), uploads, digest, taken);
    }
  });

  test("of two streams one or both are taken, one behind the other and never mixed", async () => {
    const uploads = repository("uploads/concurrent-streams");
    for (let round = 0; round < 5; round++) {
      const location = await openSession(uploads);
      const taken: { readonly end: number; readonly body: Uint8Array }[] = [];
      const send = async (seed: string): Promise<void> => {
        const body = bytesOf(`${seed}/${round}`, 60_000);
        const reply = await uploads.send("PATCH", location, { body });
        if (reply.status !== 202) return expect([409, 416]).toContain(reply.status);
        taken.push({ end: Number(reply.headers.get("range")?.slice("0-".length)), body });
      };
      await Promise.all([send("one"), send("two")]);
      // Each was told where its last byte lies, so their order is known.
      taken.sort((one, other) => one.end - other.end);
      expect(taken.map(({ end }) => end)).toEqual([59_999, 119_999].slice(0, taken.length));
      expect(taken.length).toBeGreaterThan(0);
      const whole = new Uint8Array(Buffer.concat(taken.map(({ body }) => body)));
      const digest = digestOf(whole);
      await expectBlobCreated(await closeSession(uploads, location, digest), uploads, digest, whole);
    }
  });

  test("a blob that is pushed in ten sessions at once is one blob", async () => {
    const uploads = repository("uploads/ten-sessions");
    const bytes = bytesOf("ten sessions", 30_000);
    const digest = digestOf(bytes);
    const locations = await Promise.all(Array.from({ length: 10 }, () => sessionWith(uploads, bytes)));
    const replies = await Promise.all(locations.map((location) => closeSession(uploads, location, digest)));
    expect(replies.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 201));
    expect((await uploads.delete(`blobs/${digest}`)).status).toBe(202);
    expect((await uploads.head(`blobs/${digest}`)).status).toBe(404);
  });
});

test("a client that asks first whether it may send is told to go on", async () => {
  // curl does so before a megabyte (RFC 9110, 10.1.1).
  const uploads = repository("uploads/expect-continue");
  const location = await openSession(uploads);
  const head =
    `PUT ${withQuery(location, `digest=${DIGEST}`)} HTTP/1.1\r\nHost: ${registry().hostname}\r\nConnection: close\r\n` +
    `Expect: 100-continue\r\nContent-Length: ${BLOB.length}\r\n\r\n`;
  const text = await sendInTurns(registry().port, Buffer.from(head), "100 Continue", BLOB);
  expect(text).toMatch(/^HTTP\/1\.1 100 Continue\r\n(?:.*\r\n)*\r\nHTTP\/1\.1 201 /);
});

function expectRange(reply: Response): string {
  expect(reply.status).toBe(204);
  return reply.headers.get("range") ?? "";
}

function slug(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "");
}

/** The broken request may still be running: the session says so with 409 or 416, and the client asks again. */
async function persist(ask: () => Promise<Response>): Promise<Response> {
  for (let attempt = 0; attempt < 1000; attempt++) {
    const reply = await ask();
    if (reply.status !== 409 && reply.status !== 416) return reply;
  }
  throw new Error("the session never came free");
}
