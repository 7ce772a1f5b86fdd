import { describe, expect, test } from "bun:test";
import { observedDriver, observerOfAll } from "./calls.ts";
import type { Call, CallObserver } from "./calls.ts";

/** A driver of each kind of member that the ports have. */
class Driver {
  readonly name = "driver";
  #secret = 1;

  get secret(): number {
    return this.#secret;
  }

  now(): number {
    return ++this.#secret;
  }

  async later(fails = false): Promise<string> {
    await Promise.resolve();
    if (fails) throw new Error("later");
    return "later";
  }

  thrown(): never {
    throw new Error("thrown");
  }

  unobserved(): number {
    return this.#secret;
  }

  [Symbol.dispose](): void {
    this.#secret = 0;
  }
}

function observing(): { readonly observer: CallObserver; readonly told: string[] } {
  const told: string[] = [];
  const observer: CallObserver = {
    begin({ target, driver, action }: Call) {
      told.push(`begin ${target} ${driver} ${action}`);
      return (error) => told.push(error === undefined ? "end" : `failed: ${(error as Error).message}`);
    },
  };
  return { observer, told };
}

const ACTIONS = { now: "N", later: "L", thrown: "T" };

describe("an observed driver", () => {
  test("tells of each call that is named, with its end and its error", async () => {
    const { observer, told } = observing();
    const driver = observedDriver(new Driver(), { target: "storage", driver: "d" }, ACTIONS, observer);
    expect(driver.now()).toBe(2);
    expect(await driver.later()).toBe("later");
    await expect(driver.later(true)).rejects.toThrow("later");
    expect(() => driver.thrown()).toThrow("thrown");
    const now = ["begin storage d N", "end"];
    const later = ["begin storage d L", "end", "begin storage d L", "failed: later"];
    expect(told).toEqual([...now, ...later, "begin storage d T", "failed: thrown"]);
  });

  test("does everything else as before, and tells of none of it", () => {
    const { observer, told } = observing();
    const driver = observedDriver(new Driver(), { target: "storage", driver: "d" }, {}, observer);
    driver.now();
    expect([driver.name, driver.secret, driver.unobserved()]).toEqual(["driver", 2, 2]);
    driver[Symbol.dispose]();
    expect(driver.secret).toBe(0);
    expect(told).toEqual([]);
  });
});

test("an observer of several tells each of them", () => {
  const [one, two] = [observing(), observing()];
  expect(observerOfAll([])).toBeUndefined();
  expect(observerOfAll([undefined, one.observer])).toBe(one.observer);
  observerOfAll([one.observer, two.observer])?.begin({ target: "upstream", driver: "x", action: "y" })();
  expect(one.told).toEqual(["begin upstream x y", "end"]);
  expect(two.told).toEqual(one.told);
});
