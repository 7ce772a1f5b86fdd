/** Guessing of passwords is slowed, whoever guesses what from where. */
import { describe, expect, test } from "bun:test";
import type { OciError } from "../oci/error.ts";
import { LoginThrottle } from "./login-throttle.ts";
import { StillClock } from "./testing/subject.ts";

/** How many attempts of a list fail before one is refused. */
function failuresUntilRefused(
  throttle: LoginThrottle,
  attempts: Iterable<readonly [name: string, address: string]>,
): number {
  let failures = 0;
  for (const [name, address] of attempts) {
    if (refusal(throttle, name, address)) return failures;
    failures++;
  }
  return failures;
}

function refusal(throttle: LoginThrottle, name: string, address: string | undefined): OciError | undefined {
  try {
    throttle.begin(name, address);
    return undefined;
  } catch (error) {
    return error as OciError;
  }
}

function* many(make: (number: number) => readonly [string, string]): Generator<readonly [string, string]> {
  for (let number = 0; number < 1000; number++) yield make(number);
}

describe("failed logins", () => {
  test("are refused with 429 and the time after which to come again", () => {
    const clock = new StillClock();
    const throttle = new LoginThrottle(clock);
    expect(
      failuresUntilRefused(
        throttle,
        many(() => ["alice", "192.0.2.1"]),
      ),
    ).toBe(10);
    const error = refusal(throttle, "alice", "192.0.2.1");
    expect(error).toMatchObject({ code: "TOOMANYREQUESTS", status: 429, retryAfterSeconds: 10 });
    clock.ms += 9_999;
    expect(refusal(throttle, "alice", "192.0.2.1")).toMatchObject({ retryAfterSeconds: 1 });
    clock.ms += 1;
    expect(refusal(throttle, "alice", "192.0.2.1")).toBeUndefined();
    expect(refusal(throttle, "alice", "192.0.2.1")).toBeDefined();
  });

  test("are counted for an address that tries many names", () => {
    const throttle = new LoginThrottle(new StillClock());
    expect(
      failuresUntilRefused(
        throttle,
        many((number) => [`user-${number}`, "192.0.2.1"]),
      ),
    ).toBe(50);
    expect(refusal(throttle, "user-0", "192.0.2.2")).toBeUndefined();
  });

  test("are counted for a name that many addresses try", () => {
    const throttle = new LoginThrottle(new StillClock());
    expect(
      failuresUntilRefused(
        throttle,
        many((number) => ["alice", `10.0.${number >> 8}.${number & 255}`]),
      ),
    ).toBe(100);
    expect(refusal(throttle, "bob", "10.9.9.9")).toBeUndefined();
  });

  for (const [what, make] of [
    ["a network of IPv6", (number: number) => `2001:db8::${(number + 1).toString(16)}`],
    ["a network of IPv6, however it is written", (number: number) => `2001:db8:0:0:${number.toString(16)}:1:2:3`],
    ["an address of IPv4 inside IPv6", () => "::ffff:192.0.2.1"],
    ["a socket without addresses", () => undefined],
  ] as const) {
    test(`are counted together for ${what}`, () => {
      const throttle = new LoginThrottle(new StillClock());
      const addresses = Array.from({ length: 11 }, (_, number) => make(number));
      const refused = addresses.map((address) => refusal(throttle, "alice", address) !== undefined);
      expect(refused).toEqual([...Array<boolean>(10).fill(false), true]);
    });
  }

  test("of neighbouring networks are not counted together", () => {
    const throttle = new LoginThrottle(new StillClock());
    for (let number = 0; number < 20; number++) {
      expect(refusal(throttle, "alice", `2001:db8:0:${number.toString(16)}::1`)).toBeUndefined();
    }
  });

  test("are not those that were taken back", () => {
    const throttle = new LoginThrottle(new StillClock());
    for (let number = 0; number < 1000; number++) throttle.begin("alice", "192.0.2.1").forgive();
    expect(
      failuresUntilRefused(
        throttle,
        many(() => ["alice", "192.0.2.1"]),
      ),
    ).toBe(10);
  });

  test("do not keep out who logged in from there before, but for that one's own", () => {
    const clock = new StillClock();
    const throttle = new LoginThrottle(clock);
    throttle.begin("alice", "192.0.2.1").succeed();
    failuresUntilRefused(
      throttle,
      many((number) => [`user-${number}`, "192.0.2.1"]),
    );
    failuresUntilRefused(
      throttle,
      many((number) => ["alice", `10.0.${number >> 8}.${number & 255}`]),
    );
    expect(refusal(throttle, "alice", "192.0.2.2")).toBeDefined();
    expect(refusal(throttle, "bob", "192.0.2.1")).toBeDefined();
    expect(
      failuresUntilRefused(
        throttle,
        many(() => ["alice", "192.0.2.1"]),
      ),
    ).toBe(10);
  });

  test("count while they are under way: a hundred at once are not a hundred guesses", () => {
    const throttle = new LoginThrottle(new StillClock());
    const attempts = Array.from({ length: 100 }, () => refusal(throttle, "alice", "192.0.2.1"));
    expect(attempts.filter((error) => error === undefined)).toHaveLength(10);
  });

  test("of millions of names need no more room than those of some thousands", () => {
    const throttle = new LoginThrottle(new StillClock());
    for (let number = 0; number < 12_000; number++) throttle.begin(`user-${number}`, `10.0.0.${number}`);
    // What was filled least recently is forgotten.
    for (let number = 0; number < 10; number++) expect(refusal(throttle, "user-0", "10.0.0.0")).toBeUndefined();
  });
});
