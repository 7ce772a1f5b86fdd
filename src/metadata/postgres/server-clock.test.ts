import { expect, test } from "bun:test";
import { array, assert, integer, nat, property, record } from "fast-check";
import { ServerClock } from "./server-clock.ts";

test("the clock of a server is never ahead of it, and behind by no more than an answer takes", () => {
  const answers = array(record({ pause: nat(10_000), there: nat(500), back: nat(500) }), {
    minLength: 1,
    maxLength: 50,
  });
  assert(
    property(answers, integer({ min: -1e12, max: 1e12 }), (all, ahead) => {
      let here = 0;
      const clock = new ServerClock(() => here);
      for (const { pause, there, back } of all) {
        here += pause;
        const asked = here;
        here += there;
        const time = here + ahead;
        here += back;
        clock.learn(time, asked);
        expect(clock.now()).toBeWithin(here + ahead - 500, here + ahead + 1);
      }
    }),
  );
});

test("the clock of a server follows it when it is set", () => {
  const clock = new ServerClock(() => 100);
  for (const time of [5000, 7000, 1000]) {
    clock.learn(time, 90);
    expect(clock.now()).toBe(time);
  }
});

test("the clock of a server says nothing before the server has said something", () => {
  expect(() => new ServerClock().now()).toThrow();
});
