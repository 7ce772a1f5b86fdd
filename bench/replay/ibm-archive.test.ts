import { describe, expect, test } from "bun:test";
import { importIbmArchive } from "./ibm-archive.ts";

/** A request as it stands in the archive. */
function archived(second: number, method: string, uri: string, status: number, written = 0) {
  return {
    host: "dc118836",
    "http.request.duration": 0.5,
    "http.request.method": method,
    "http.request.remoteaddr": "5b1ed0d3",
    "http.request.uri": uri,
    "http.request.useragent": "docker/17.03.1-ce",
    "http.response.status": status,
    "http.response.written": written,
    id: "9f63984c",
    timestamp: `2017-06-20T02:41:${String(second).padStart(2, "0")}.250Z`,
  };
}

const linesOf = (...requests: readonly object[]) => importIbmArchive([JSON.stringify(requests)]).lines;

describe("the archive of IBM's traces", () => {
  test("tells operations, repositories and names, whether or not there are slashes in them", () => {
    const lines = linesOf(
      archived(1, "GET", "v2/", 200, 2),
      archived(2, "HEAD", "v2/4715bf52/437c49db/manifests/af3a1af0", 200),
      archived(3, "GET", "v2/4715bf52/437c49db/manifests/af3a1af0", 200, 1518),
      archived(4, "GET", "v2/4715bf52/437c49db/blobs/93c71f06", 200, 30_000),
      archived(5, "HEAD", "v2/4715bf52/blobs/93c71f06", 200),
      archived(6, "PUT", "v2/4715bf52/437c49db/manifests/af3a1af0", 201),
    );
    const [client, repo] = ["5b1ed0d3", "4715bf52/437c49db"];
    expect(lines).toEqual([
      { t_ms: 0, client, op: "ping", repo: "", ref: "", size: 0 },
      { t_ms: 1000, client, op: "head-manifest", repo, ref: "af3a1af0", size: 0 },
      { t_ms: 2000, client, op: "get-manifest", repo, ref: "af3a1af0", size: 0 },
      { t_ms: 3000, client, op: "get-blob", repo, ref: "93c71f06", size: 30_000 },
      { t_ms: 4000, client, op: "head-blob", repo: "4715bf52", ref: "93c71f06", size: 0 },
      { t_ms: 5000, client, op: "put-manifest", repo, ref: "af3a1af0", size: 0 },
    ]);
  });

  test("has an upload for each PUT that ended one, as big as its PATCH says", () => {
    const upload = "v2/a/b/blobs/uploads/11112222";
    const requests = [
      archived(1, "POST", "v2/a/b/blobs/uploads/", 202),
      archived(2, "PATCH", upload, 202, 5000),
      archived(3, "PUT", upload, 201),
    ];
    const { lines, joined, leftOut } = importIbmArchive([JSON.stringify(requests)]);
    expect(lines).toEqual([{ t_ms: 2000, client: "5b1ed0d3", op: "upload", repo: "a/b", ref: "11112222", size: 5000 }]);
    expect(joined).toBe(2);
    expect(leftOut.size).toBe(0);
  });

  test("gives an upload that says nothing of its size one of the usual sizes, always the same", () => {
    const put = archived(1, "PUT", "v2/a/b/blobs/uploads/11112222", 201);
    expect(linesOf(put)[0]?.size).toBeGreaterThan(0);
    expect(linesOf(put)).toEqual(linesOf(put));
  });

  test("leaves out mounts and what it does not know, and says so", () => {
    const requests = [archived(1, "POST", "v2/a/b/blobs/uploads/", 201), archived(2, "GET", "v2/_catalog", 200, 9)];
    const { lines, leftOut } = importIbmArchive([JSON.stringify(requests)]);
    expect(lines).toEqual([]);
    expect([...leftOut]).toEqual([
      ["POST upload", 1],
      ["GET other", 1],
    ]);
  });

  test("puts the requests of several files in order", () => {
    const files = [3, 1, 2].map((second) => JSON.stringify([archived(second, "GET", "v2", 200, 2)]));
    expect(importIbmArchive(files).lines.map(({ t_ms }) => t_ms)).toEqual([0, 1000, 2000]);
  });

  test("is refused when it is something else", () => {
    expect(() => importIbmArchive([`[{"timestamp":"then"}]`])).toThrow();
  });
});
