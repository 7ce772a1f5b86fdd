/** Responses that are being sent: room for them, the order of those that wait, and timers for those that stall. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { Sends } from "./sends.ts";
import type { Exchange, Peer, Send, SendLimits } from "./sends.ts";

const LIMITS: SendLimits = { connectionBytes: 100, addressBytes: 250, waitMs: 60_000, stallSeconds: 30 };

/** An exchange that is open until it is told otherwise. */
class Exchanged implements Exchange {
  open = true;
  readonly timers: number[] = [];

  isOpen(): boolean {
    return this.open;
  }

  closeAfter(seconds: number): void {
    this.timers.push(seconds);
  }
}

function peer(connection: string, address: string = "192.0.2.1"): Peer {
  return { address, connection };
}

/** What `begin` gave, or "waits" when that was a promise. */
function begun(given: Send | Promise<Send | undefined>): Send | "waits" {
  return given instanceof Promise ? "waits" : given;
}

test("files on connections that the runtime tells nothing of count as one, until no request is open", async () => {
  const told: boolean[] = [];
  using sends = new Sends(LIMITS, (areSent) => told.push(areSent));
  const asked: number[] = [];
  let open = true;
  const exchange: Exchange = { isOpen: () => asked.push(1) > 0 && open, closeAfter: () => undefined };
  for (let n = 0; n < 200; n++) sends.beginUntold(exchange);
  while (asked.length === 0) await Bun.sleep(10); // a sweep
  expect(asked).toHaveLength(1);
  open = false;
  while (told.length < 2) await Bun.sleep(10);
  sends.beginUntold(exchange);
  expect(told).toEqual([true, false, true]);
});

describe("a response is sent at once", () => {
  test("up to the bytes of its connection, and waits beyond them", () => {
    using sends = new Sends(LIMITS);
    expect(begun(sends.begin(new Exchanged(), peer("a"), 60))).not.toBe("waits");
    expect(begun(sends.begin(new Exchanged(), peer("a"), 40))).not.toBe("waits");
    expect(begun(sends.begin(new Exchanged(), peer("a"), 1))).toBe("waits");
  });

  test("up to the bytes of its address, and waits beyond them; other addresses are not concerned", () => {
    using sends = new Sends(LIMITS);
    for (const name of ["a", "b"]) void sends.begin(new Exchanged(), peer(name), 100);
    expect(begun(sends.begin(new Exchanged(), peer("c"), 50))).not.toBe("waits");
    const waiting = new Exchanged();
    expect(begun(sends.begin(waiting, peer("d"), 1))).toBe("waits");
  });

  test("whatever its size when its connection and address send nothing else", () => {
    using sends = new Sends(LIMITS);
    expect(begun(sends.begin(new Exchanged(), peer("a"), 10_000))).not.toBe("waits");
    expect(begun(sends.begin(new Exchanged(), peer("b"), 1))).toBe("waits");
  });

  test("when it keeps nothing in memory, however full its connection is", () => {
    using sends = new Sends(LIMITS);
    void sends.begin(new Exchanged(), peer("a"), 100);
    expect(begun(sends.begin(new Exchanged(), peer("a"), 0))).not.toBe("waits");
  });
});

describe("a response that waits", () => {
  test("is sent once another of its connection was taken", async () => {
    using sends = new Sends(LIMITS);
    const first = new Exchanged();
    void sends.begin(first, peer("a"), 100);
    const second = sends.begin(new Exchanged(), peer("a"), 100);
    first.open = false;
    expect(await second).toMatchObject({ bytes: 100, peer: peer("a") });
  });

  test("comes after those of its address that waited before it", async () => {
    using sends = new Sends(LIMITS);
    const [first, second] = [new Exchanged(), new Exchanged()];
    void sends.begin(first, peer("a"), 100);
    void sends.begin(second, peer("b"), 100);
    const order: string[] = [];
    const large = Promise.resolve(sends.begin(new Exchanged(), peer("c"), 200)).then(() => order.push("large"));
    const small = Promise.resolve(sends.begin(new Exchanged(), peer("d"), 60)).then(() => order.push("small"));
    first.open = false;
    second.open = false;
    await Promise.all([large, small].slice(0, 1));
    expect(order).toEqual(["large"]);
  });

  test("is passed by those of other connections while its own is full", async () => {
    using sends = new Sends(LIMITS);
    void sends.begin(new Exchanged(), peer("a"), 100);
    void sends.begin(new Exchanged(), peer("a"), 100);
    expect(await sends.begin(new Exchanged(), peer("b"), 100)).toMatchObject({ bytes: 100 });
  });

  test("is given up when its connection is gone, or it has waited too long, or the server ends", async () => {
    using sends = new Sends(LIMITS);
    void sends.begin(new Exchanged(), peer("a"), 100);
    const gone = new Exchanged();
    const givenUp = sends.begin(gone, peer("a"), 100);
    gone.open = false;
    expect(await givenUp).toBeUndefined();

    using impatient = new Sends({ ...LIMITS, waitMs: 0 });
    void impatient.begin(new Exchanged(), peer("a"), 100);
    expect(await impatient.begin(new Exchanged(), peer("a"), 100)).toBeUndefined();

    const atTheEnd = sends.begin(new Exchanged(), peer("a"), 100);
    sends[Symbol.dispose]();
    expect(await atTheEnd).toBeUndefined();
  });
});

test("a response that turned out smaller leaves room for others", async () => {
  using sends = new Sends(LIMITS);
  const send = begun(sends.begin(new Exchanged(), peer("a"), 100));
  if (send === "waits") throw new Error("there was no room");
  sends.resize(send, 10);
  expect(begun(sends.begin(new Exchanged(), peer("a"), 90))).not.toBe("waits");
});

test("the limit on the kernel is told of the first file that is sent, and of the end of the last one", async () => {
  const told: boolean[] = [];
  using sends = new Sends(LIMITS, (areSent) => told.push(areSent));
  const [first, second] = [new Exchanged(), new Exchanged()];
  void sends.begin(new Exchanged(), peer("a"), 50);
  expect(told).toEqual([]);
  void sends.begin(first, peer("a"), 0, true);
  void sends.begin(second, peer("b"), 0, true);
  first.open = false;
  while (second.timers.length === 0) await Bun.sleep(20);
  expect(told).toEqual([true]);
  second.open = false;
  while (told.length < 2) await Bun.sleep(20);
  expect(told).toEqual([true, false]);
});

describe("a connection that takes nothing", () => {
  test("gets a timer of so many seconds", async () => {
    using sends = new Sends(LIMITS);
    const stalled = new Exchanged();
    void sends.begin(stalled, peer("a"), 0);
    while (stalled.timers.length === 0) await Bun.sleep(20);
    expect(stalled.timers).toEqual([30]);
  });

  test("gets none as long as a body is received on it: over HTTP/2 that would break off too", async () => {
    using sends = new Sends(LIMITS);
    const [beside, alone] = [new Exchanged(), new Exchanged()];
    const receiving = sends.receiving(peer("a"));
    void sends.begin(beside, peer("a"), 0);
    void sends.begin(alone, peer("b"), 0);
    while (alone.timers.length === 0) await Bun.sleep(20);
    expect(beside.timers).toEqual([]);
    receiving[Symbol.dispose]();
    while (beside.timers.length === 0) await Bun.sleep(20);
  });
});

test("however requests come and end, no connection and no address exceeds its bytes, and all that wait get their turn", async () => {
  const step = fc.record({
    connection: fc.constantFrom("a", "b", "c", "d"),
    bytes: fc.integer({ min: 0, max: 100 }),
    ends: fc.nat({ max: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      using sends = new Sends({ ...LIMITS, waitMs: Infinity });
      const sent = new Map<Exchanged, { connection: string; bytes: number }>();
      const holds = (): void => {
        const open = [...sent].filter(([{ open: isOpen }]) => isOpen).map(([, send]) => send);
        for (const name of ["a", "b", "c", "d"]) {
          const own = open.filter(({ connection }) => connection === name);
          expect(own.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(LIMITS.connectionBytes);
        }
        expect(open.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(LIMITS.addressBytes);
      };
      const waiting = new Set<Exchanged>();
      for (const { connection, bytes, ends } of steps) {
        const exchange = new Exchanged();
        waiting.add(exchange);
        const given = sends.begin(exchange, peer(connection), bytes);
        const count = (send: Send | undefined): void => {
          expect(send).toBeDefined();
          waiting.delete(exchange);
          sent.set(exchange, { connection, bytes });
          holds();
        };
        if (given instanceof Promise) void given.then(count);
        else count(given);
        const ended = [...sent.keys()][ends];
        if (ended) ended.open = false;
      }
      while (waiting.size > 0) {
        for (const exchange of sent.keys()) exchange.open = false;
        await Bun.sleep(5);
      }
    }),
    { numRuns: 20 },
  );
});
