import { expect, test } from "bun:test";
import { SingleFlight } from "./single-flight.ts";

test("concurrent calls with one key share one piece of work and its result", async () => {
  const flights = new SingleFlight<string, number>();
  const answer = Promise.withResolvers<number>();
  let started = 0;
  const call = (): Promise<number> => flights.run("a", () => (started++, answer.promise));

  const calls = [call(), call(), call()];
  expect(flights.has("a")).toBe(true);
  expect(flights.size).toBe(1);
  answer.resolve(7);

  expect(await Promise.all(calls)).toEqual([7, 7, 7]);
  expect(started).toBe(1);
});

test("calls with other keys run their own work", async () => {
  const flights = new SingleFlight<string, string>();
  const results = await Promise.all(["a", "b"].map((key) => flights.run(key, async () => key)));
  expect(results).toEqual(["a", "b"]);
});

test("a failure reaches every caller that shared it, and the next call starts again", async () => {
  const flights = new SingleFlight<string, string>();
  const failing = (): Promise<string> => flights.run("a", () => Promise.reject(new Error("no disk")));
  const outcomes = await Promise.allSettled([failing(), failing()]);
  expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(flights.size).toBe(0);
  expect(await flights.run("a", async () => "well again")).toBe("well again");
});

test("a call after the work has ended starts it again", async () => {
  const flights = new SingleFlight<string, number>();
  let started = 0;
  const call = (): Promise<number> => flights.run("a", async () => ++started);
  expect([await call(), await call()]).toEqual([1, 2]);
});
