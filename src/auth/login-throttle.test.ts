/** Guessing of passwords is slowed, for every name and address, and no user is locked out. */
import { describe, expect, test } from "bun:test";
import { LoginThrottle, THROTTLE_MS } from "./login-throttle.ts";
import type { Attempt } from "./login-throttle.ts";
import { StillClock } from "./testing/subject.ts";

const [HERE, ELSEWHERE] = ["192.0.2.1", "198.51.100.7"];

interface Throttled {
  readonly clock: StillClock;
  readonly throttle: LoginThrottle;
  /** Begins an attempt, which fails; false when it is not verified. */
  readonly guess: (name: string, address: string | undefined, password?: string) => boolean;
}

function throttled(): Throttled {
  const clock = new StillClock();
  const throttle = new LoginThrottle(clock);
  let guesses = 0;
  const guess: Throttled["guess"] = (name, address, password = `guess ${guesses++}`) => {
    const attempt = begin(throttle, name, password, address);
    attempt?.fail();
    return attempt !== undefined;
  };
  return { clock, throttle, guess };
}

function begin(throttle: LoginThrottle, name: string, password: string, address?: string): Attempt | undefined {
  return throttle.begin({ kind: "basic", name, password }, address);
}

/** Guesses, each for a name that was never tried before. */
function inventing(guess: Throttled["guess"], address: string = HERE): () => boolean {
  return () => guess(`invented ${Math.random()}`, address);
}

/** How many of a thousand guesses at once are verified. */
function verified(guess: (number: number) => boolean): number {
  return Array.from({ length: 1000 }, (_, number) => guess(number)).filter(Boolean).length;
}

describe("failed logins for an account from an address", () => {
  test("are ten at once, and then one in each second", () => {
    const { clock, guess } = throttled();
    expect(verified(() => guess("alice", HERE))).toBe(10);
    clock.ms += THROTTLE_MS - 1;
    expect(guess("alice", HERE)).toBeFalse();
    clock.ms += 1;
    expect([guess("alice", HERE), guess("alice", HERE)]).toEqual([true, false]);
    for (let second = 0; second < 100; second++) {
      clock.ms += THROTTLE_MS;
      expect(verified(() => guess("alice", HERE))).toBe(1);
    }
  });

  test("do not slow another account there, nor this account elsewhere", () => {
    const { guess } = throttled();
    verified(() => guess("alice", HERE));
    expect([guess("alice", ELSEWHERE), guess("bob", HERE)]).toEqual([true, true]);
  });

  test("are forgotten with time", () => {
    const { clock, guess } = throttled();
    verified(() => guess("alice", HERE));
    clock.ms += 100_000;
    expect(verified(() => guess("alice", HERE))).toBe(10);
  });

  test("count while they are under way: a hundred at once are not a hundred guesses", () => {
    const { throttle } = throttled();
    expect(verified((number) => begin(throttle, "alice", `${number}`, HERE) !== undefined)).toBe(10);
  });

  for (const [what, addressOf] of [
    ["a network of IPv6", (number: number) => `2001:db8::${(number + 1).toString(16)}`],
    ["a network of IPv6, however it is written", (number: number) => `2001:db8:0:0:${number.toString(16)}:1:2:3`],
    ["an address of IPv4 inside IPv6", () => "::ffff:192.0.2.1"],
    ["a socket without addresses", () => undefined],
  ] as const) {
    test(`are counted together for ${what}`, () => {
      const { guess } = throttled();
      expect(verified((number) => guess("alice", addressOf(number)))).toBe(10);
    });
  }

  test("are not those of neighbouring networks of IPv6", () => {
    const { guess } = throttled();
    expect(verified((number) => guess("alice", `2001:db8:0:${number.toString(16)}::1`))).toBe(1000);
  });

  test("are not those that could not be verified", () => {
    const { throttle, guess } = throttled();
    for (let number = 0; number < 1000; number++) begin(throttle, "alice", "x", HERE)?.forgive();
    expect(verified(() => guess("alice", HERE))).toBe(10);
  });

  test("keep no user out when the clock is set back", () => {
    const { clock, guess } = throttled();
    verified(() => guess("alice", HERE));
    clock.ms -= 86_400_000;
    expect(guess("alice", HERE)).toBeTrue();
  });
});

describe("an address that tries many accounts", () => {
  test("has one guess a second for each of them after fifty, instead of ten at once", () => {
    const { clock, guess } = throttled();
    for (let number = 0; number < 50; number++) guess(`user-${number}`, HERE);
    expect(verified(() => guess("alice", HERE))).toBe(1);
    clock.ms += THROTTLE_MS;
    expect(verified(() => guess("alice", HERE))).toBe(1);
    expect(verified(() => guess("alice", ELSEWHERE))).toBe(10);
  });
});

describe("an address that invents a name for each guess", () => {
  test("has two hundred guesses, and then ten in each second over all names", () => {
    const { clock, guess } = throttled();
    expect(verified(inventing(guess))).toBe(200);
    for (let second = 0; second < 100; second++) {
      clock.ms += 1000;
      expect(verified(inventing(guess))).toBe(10);
    }
    expect(guess("alice", HERE)).toBeFalse();
    expect(verified(inventing(guess, ELSEWHERE))).toBe(200);
    clock.ms += 20_000;
    expect(verified(inventing(guess))).toBe(200);
  });

  test("keeps out no user whose credentials were good in the last month", () => {
    const { clock, throttle, guess } = throttled();
    const users = Array.from({ length: 10 }, (_, number) => `user ${number}`);
    for (const name of users) begin(throttle, name, `secret of ${name}`, HERE)?.succeed();
    clock.ms += 29 * 86_400_000;
    verified(inventing(guess));
    for (const name of users) {
      expect(begin(throttle, name, `secret of ${name}`, HERE)).toBeDefined();
      expect(begin(throttle, name, "guess", HERE)).toBeUndefined();
    }
  });

  test("leaves gaps, through which right credentials get that were never seen", () => {
    const { clock, throttle, guess } = throttled();
    verified(inventing(guess));
    for (let number = 0; number < 10; number++) {
      clock.ms += 100;
      const attempt = begin(throttle, `user ${number}`, "secret", HERE);
      expect(attempt).toBeDefined();
      attempt?.succeed(); // which takes nothing from the others
      expect(begin(throttle, `another ${number}`, "secret", HERE)).toBeDefined();
      inventing(guess)();
    }
  });
});

test("any number of users behind one address log in at once, when their passwords are right", () => {
  const { throttle } = throttled();
  const attempts = Array.from({ length: 1000 }, (_, number) => begin(throttle, `user ${number}`, "secret", HERE));
  expect(attempts.filter((attempt) => attempt === undefined)).toEqual([]);
  for (const attempt of attempts) attempt?.succeed();
  expect(begin(throttle, "another user", "secret", HERE)).toBeDefined();
});

test("proven credentials have a turn of their own in the queue of hashes, others that of their address", () => {
  const { throttle } = throttled();
  const first = begin(throttle, "alice", "wonderland", HERE);
  first?.succeed();
  const other = begin(throttle, "bob", "secret", HERE);
  expect(other?.turn).toBe(first!.turn);
  expect(begin(throttle, "alice", "wonderland", HERE)?.turn).not.toBe(first!.turn);
});

describe("an account that many addresses try", () => {
  test("may be tried by each once a second after a hundred, instead of ten times at once", () => {
    const { clock, guess } = throttled();
    for (let number = 0; number < 100; number++) guess("alice", `10.0.0.${number}`);
    expect(verified(() => guess("alice", HERE))).toBe(1);
    clock.ms += THROTTLE_MS;
    expect(verified(() => guess("alice", HERE))).toBe(1);
    expect(verified(() => guess("bob", HERE))).toBe(10);
  });
});

describe("credentials that were good", () => {
  test("are not slowed for thirty days, from anywhere, whatever others do", () => {
    const { clock, throttle, guess } = throttled();
    begin(throttle, "alice", "wonderland", HERE)?.succeed();
    const floods = (): void => {
      for (const address of [HERE, ELSEWHERE]) verified(() => guess("alice", address));
      for (let number = 0; number < 200; number++) guess("alice", `10.0.0.${number}`);
    };
    floods();
    for (const address of [HERE, ELSEWHERE, HERE]) {
      expect(begin(throttle, "alice", "wonderland", address)).toBeDefined();
    }
    expect(begin(throttle, "alice", "wonderlan", HERE)).toBeUndefined();
    expect(begin(throttle, "alic", "ewonderland", HERE)).toBeDefined(); // another account, without a failure
    clock.ms += 30 * 86_400_000 - 1;
    floods();
    expect(begin(throttle, "alice", "wonderland", HERE)).toBeDefined();
    clock.ms += 1;
    floods();
    expect(begin(throttle, "alice", "wonderland", HERE)).toBeUndefined();
  });

  test("are slowed like others once they were not good any more", () => {
    const { throttle, guess } = throttled();
    begin(throttle, "alice", "wonderland", HERE)?.succeed();
    expect(verified(() => guess("alice", HERE, "wonderland"))).toBe(11);
  });

  test("take nothing from what others may try", () => {
    const { throttle, guess } = throttled();
    for (let number = 0; number < 100; number++) begin(throttle, "alice", "wonderland", HERE)?.succeed();
    expect(verified(() => guess("alice", HERE))).toBe(10);
  });
});
