import { afterAll, describe, expect, test } from "bun:test";
import type { Socket } from "bun";
import { scratchFolder } from "../../test/support/scratch.ts";
import { digestOf } from "../../test/support/content.ts";
import { stowage } from "../peers/stowage.ts";
import { startPeer } from "../peers/server.ts";
import { generateTrace } from "./generator.ts";
import type { Mix } from "./mixes.ts";
import { outcomeOf } from "./outcome.ts";
import { play } from "./player.ts";
import { makePrefill, prefillOf } from "./prefill.ts";
import { scriptOf } from "./script.ts";
import type { Ask, Step } from "./script.ts";
import { OPS, requestsIn } from "./trace.ts";

const folder = await scratchFolder();

/** Gives each request, by its method and path, to the function that answers it. */
function listen(take: (request: string, answer: (body: string) => void) => void) {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket: Socket, bytes) {
        const [request = ""] = bytes.toString("latin1").split(" HTTP");
        take(request, (body) => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`));
      },
    },
  });
  afterAll(() => server.stop(true));
  return server.port;
}

const ask = (target: string, more: Partial<Ask & Step> = {}): Step => ({
  atMs: 0,
  client: "one",
  op: "ping",
  needs: more.needs ?? [],
  work: { kind: "ask", method: "GET", target, headers: "", body: [], accepted: [200], digest: more.digest },
});

/** Enough of each operation for a short trace. */
const EVERYTHING: Mix = {
  shares: {
    ping: 10,
    token: 0,
    "head-manifest": 10,
    "get-manifest": 15,
    "head-blob": 10,
    "get-blob": 15,
    upload: 15,
    mount: 5,
    "put-manifest": 10,
    tags: 5,
    referrers: 5,
  },
  byDigest: 0.5,
};

describe("the player", () => {
  test("plays everything to Stowage without an error, and once more", async () => {
    const lines = generateTrace({ mix: EVERYTHING, requests: 300, seed: 5 });
    expect(new Set(lines.map(({ op }) => op))).toEqual(new Set(OPS).difference(new Set(["token"])));
    const prefill = prefillOf(lines, 10_000);
    const made = await makePrefill(prefill, folder);
    await using server = await startPeer(stowage, folder, made.repositories);
    for (const run of [1, 2]) {
      const script = scriptOf(lines, prefill, made, run);
      const outcome = outcomeOf(1, await play(script, { port: server.port, speed: 200 }));
      expect(outcome.reasons).toEqual({});
      expect(outcome.isBrokenOff).toBe(false);
      expect(outcome.requests).toBe(requestsIn(lines));
      expect(outcome.verified).toBeGreaterThan(0);
    }
  }, 30_000);

  test("sends what is due while nothing is answered", async () => {
    const answers: (() => void)[] = [];
    const port = listen((_, answer) => {
      answers.push(() => answer(""));
      if (answers.length === 20) for (const each of answers) each();
    });
    const { played } = await play(
      Array.from({ length: 20 }, () => ask("/v2/")),
      { port, speed: 1 },
    );
    expect(played.map(({ error }) => error)).toEqual(Array.from({ length: 20 }, () => undefined));
  });

  test("waits with what needs a push until that is answered", async () => {
    const log: string[] = [];
    const port = listen((request, answer) => {
      log.push(request);
      setTimeout(() => {
        log.push(`${request} answered`);
        answer("");
      }, 5);
    });
    await play([ask("/push"), ask("/pull", { needs: [0] })], { port, speed: 1 });
    expect(log).toEqual(["GET /push", "GET /push answered", "GET /pull", "GET /pull answered"]);
  });

  test("notices wrong bytes", async () => {
    const port = listen((_, answer) => answer("what came"));
    const [right, wrong] = [digestOf("what came"), digestOf("what should have come")];
    const { played, verified } = await play([ask("/1", { digest: right }), ask("/2", { digest: wrong })], {
      port,
      speed: 1,
    });
    expect(verified).toBe(2);
    expect(new Set(played.map(({ error }) => error))).toEqual(
      new Set([undefined, "GET was answered with the wrong bytes"]),
    );
  });

  test("breaks off when a thousand requests are unanswered", async () => {
    const port = listen(() => undefined);
    const { isBrokenOff, played } = await play(
      Array.from({ length: 1200 }, () => ask("/v2/")),
      { port, speed: 1 },
    );
    expect(isBrokenOff).toBe(true);
    expect(played).toEqual([]);
  });
});
