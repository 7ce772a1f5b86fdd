/** Few hashes at once, and clients that take turns. */
import { describe, expect, test } from "bun:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { HashQueue } from "./hash-queue.ts";
import { StillClock } from "./testing/subject.ts";

/** A queue for one hash at once, each of which ends when it is told to. */
class Subject {
  readonly clock = new StillClock();
  readonly queue: HashQueue;
  /** What was begun, in order. */
  readonly begun: string[] = [];
  readonly #ends: (() => void)[] = [];

  constructor(maxRunning = 1) {
    this.queue = new HashQueue(maxRunning, this.clock);
  }

  async run(from: string, name = from): Promise<string | undefined> {
    return await this.queue.run(from, async () => {
      this.begun.push(name);
      await new Promise<void>((resolve) => this.#ends.push(resolve));
      return name;
    });
  }

  /** Ends the hash that was begun first, and lets others begin. */
  async end(): Promise<void> {
    await nextTurn();
    this.#ends.shift()?.();
    await nextTurn();
  }
}

describe("hashes of passwords", () => {
  test("are computed as many at once as there is room for", async () => {
    const subject = new Subject(2);
    const all = ["a", "b", "c", "d"].map((from) => subject.run(from));
    await nextTurn();
    expect(subject.begun).toEqual(["a", "b"]);
    for (let left = 4; left > 0; left--) await subject.end();
    expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
  });

  test("of clients that have many wait for those that have few", async () => {
    const subject = new Subject();
    const all = ["a1", "a2", "a3", "b1", "a4", "c1", "b2"].map((name) => subject.run(name.slice(0, 1), name));
    for (let left = 7; left > 0; left--) await subject.end();
    await Promise.all(all);
    expect(subject.begun).toEqual(["a1", "a2", "b1", "c1", "a3", "b2", "a4"]);
  });

  test("are dropped when too many wait: those of the client that has most, the latest first", async () => {
    const subject = new Subject();
    const running = subject.run("z");
    const few = Array.from({ length: 10 }, (_, number) => subject.run(`client ${number}`));
    const many = Array.from({ length: 100 }, (_, number) => subject.run("many", `${number}`));
    const late = subject.run("late");
    for (let left = 200; left > 0; left--) await subject.end();
    expect(await running).toBe("z");
    expect(await late).toBe("late");
    expect(await Promise.all(few)).toEqual(Array.from({ length: 10 }, (_, number) => `client ${number}`));
    const ended = await Promise.all(many);
    expect(ended.slice(0, 89)).toEqual(Array.from({ length: 89 }, (_, number) => `${number}`));
    expect(new Set(ended.slice(89))).toEqual(new Set([undefined]));
  });

  test("are not begun for a client that has waited for longer than clients do", async () => {
    const subject = new Subject();
    const [first, second] = [subject.run("a"), subject.run("b")];
    subject.clock.ms += 10_001;
    const third = subject.run("c");
    await subject.end();
    await subject.end();
    expect(await Promise.all([first, second, third])).toEqual(["a", undefined, "c"]);
  });

  test("that fail make room for the next one", async () => {
    const queue = new HashQueue(1, new StillClock());
    const failing = queue.run("a", () => Promise.reject(new Error("no")));
    const next = queue.run("a", async () => "next");
    await expect(failing).rejects.toThrow("no");
    expect(await next).toBe("next");
  });
});
