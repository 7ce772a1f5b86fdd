/** How much may be read: by whom it is counted, and what does not count. */
import { describe, expect, test } from "bun:test";
import type { Identity } from "../../auth/identity.ts";
import { RefusedWithHeaders } from "../http/error-reply.ts";
import { ReadLimits, createReadLimits } from "./read-limits.ts";
import { parseRoute } from "../routes.ts";

const clock = { ms: 1_700_000_000_000, now: () => clock.ms };
const ALICE: Identity = { kind: "user", name: "alice", groups: [], generation: "1" };
const MANIFEST = "/v2/team/app/manifests/latest";

describe("reading is bounded", () => {
  test("for each user, wherever they are, and for each address without one", () => {
    const limits = new ReadLimits({ perMinute: 2, anonymousPerMinute: 1 }, clock);
    expect([reads(limits, "1.2.3.4", ALICE), reads(limits, "5.6.7.8", ALICE)]).toEqual(["read", "read"]);
    expect(reads(limits, "9.9.9.9", ALICE)).toBe("refused: read rate limit of alice exceeded: retry in 30 s (30)");
    expect(reads(limits, "9.9.9.9", { ...ALICE, kind: "robot" })).toBe("read");
    expect([reads(limits, "1.2.3.4"), reads(limits, "5.6.7.8")]).toEqual(["read", "read"]);
    expect(reads(limits, "1.2.3.4")).toContain("retry in 60 s, or log in (60)");
  });

  test("for a whole network where a customer has one", () => {
    const limits = new ReadLimits({ perMinute: 0, anonymousPerMinute: 1 }, clock);
    expect(reads(limits, "2001:db8:1:2::1")).toBe("read");
    expect(reads(limits, "2001:db8:1:2:ffff::7")).toContain("refused");
    expect(reads(limits, "2001:db8:1:3::1")).toBe("read");
    expect(reads(limits, "2001:db8::1")).toBe("read");
    expect(reads(limits, "2001:db8:0:0:9::")).toContain("refused");
    expect(reads(limits, "::1")).toBe("read");
    expect(reads(limits, undefined)).toBe("read");
  });

  test("for each address of IPv4, where a socket for both families shows them inside IPv6", () => {
    const limits = new ReadLimits({ perMinute: 0, anonymousPerMinute: 1 }, clock);
    expect([reads(limits, "::ffff:192.0.2.1"), reads(limits, "::ffff:192.0.2.2")]).toEqual(["read", "read"]);
    expect(reads(limits, "192.0.2.1")).toContain("refused");
  });

  test("as soon as something is bounded", () => {
    expect(createReadLimits(undefined, clock)).toBeUndefined();
    expect(createReadLimits({ perMinute: 0, anonymousPerMinute: 0 }, clock)).toBeUndefined();
    const limits = createReadLimits({ perMinute: 1, anonymousPerMinute: 0 }, clock);
    for (let asked = 0; asked < 5; asked++) expect(limits && reads(limits, "1.2.3.4")).toBe("read");
  });

  test("and nothing else: what a push asks and sends does not count", () => {
    const limits = new ReadLimits({ perMinute: 1, anonymousPerMinute: 1 }, clock);
    expect(reads(limits, "1.2.3.4")).toBe("read");
    const digest = `sha256:${"0".repeat(64)}`;
    const free = [
      ["HEAD", MANIFEST],
      ["HEAD", `/v2/team/app/blobs/${digest}`],
      ["PUT", MANIFEST],
      ["DELETE", MANIFEST],
      ["POST", "/v2/team/app/blobs/uploads/"],
      ["GET", "/v2/team/app/blobs/uploads/00000000-0000-0000-0000-000000000000"],
      ["PATCH", "/v2/team/app/blobs/uploads/00000000-0000-0000-0000-000000000000"],
      ["GET", "/v2/"],
      ["GET", "/"],
    ] as const;
    for (const [method, path] of free) expect(reads(limits, "1.2.3.4", undefined, method, path)).toBe("read");
    const bounded = [MANIFEST, `/v2/team/app/blobs/${digest}`, "/v2/team/app/tags/list", "/v2/_catalog"];
    for (const path of bounded) expect(reads(limits, "1.2.3.4", undefined, "GET", path)).toContain("refused");
    for (const method of ["GET", "HEAD"]) {
      expect(reads(limits, "1.2.3.4", undefined, method, "/api/v1/repositories")).toContain("refused");
    }
  });

  test("count a request once, however often its response is made", () => {
    const limits = new ReadLimits({ perMinute: 0, anonymousPerMinute: 1 }, clock);
    const [request, route] = [new Request(`http://registry${MANIFEST}`), parseRoute(MANIFEST, "GET")];
    if (!route) throw new Error("a manifest has a route");
    for (let made = 0; made < 3; made++) limits.take(request, route, { address: "1.2.3.4" }, undefined);
    expect(reads(limits, "1.2.3.4")).toContain("refused");
  });
});

function reads(
  limits: ReadLimits,
  address: string | undefined,
  who?: Identity,
  method = "GET",
  path = MANIFEST,
): string {
  const route = parseRoute(path, method);
  if (!route) throw new Error(`${path} is no route`);
  try {
    limits.take(new Request(`http://registry${path}`, { method }), route, { address }, who);
    return "read";
  } catch (error) {
    if (!(error instanceof RefusedWithHeaders)) throw error;
    return `refused: ${(error.cause as Error).message} (${error.headers["retry-after"]})`;
  }
}
