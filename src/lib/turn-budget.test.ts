import { expect, test } from "bun:test";
import { setImmediate as nextTurn } from "node:timers/promises";
import { TurnBudget } from "./turn-budget.ts";

/** Does steps of these costs, and returns the costs of those that were done in each turn, until all are. */
async function turnsOf(budget: TurnBudget, costs: readonly number[]): Promise<readonly (readonly number[])[]> {
  const turns: number[][] = [[]];
  let left = costs.length;
  const beginTurn = (): void => {
    turns.push([]);
    if (left > 0) setImmediate(beginTurn);
  };
  setImmediate(beginTurn); // before that of the budget, in each turn
  const steps = costs.map(async (cost) => {
    await budget.take(cost);
    turns.at(-1)?.push(cost);
    left--;
  });
  await Promise.all(steps);
  return turns.filter((done) => done.length > 0);
}

test("steps share a turn up to its budget, in their order, and the others wait for later turns", async () => {
  expect(await turnsOf(new TurnBudget(10), [4, 4, 4, 1, 9, 3])).toEqual([[4, 4], [4, 1], [9], [3]]);
});

test("a small step does not overtake a large one that waits", async () => {
  expect(await turnsOf(new TurnBudget(10), [8, 8, 1, 1, 1])).toEqual([[8], [8, 1, 1], [1]]);
});

test("a step that costs more than the budget has a turn of its own", async () => {
  expect(await turnsOf(new TurnBudget(10), [25, 1, 25])).toEqual([[25], [1], [25]]);
});

test("work that takes one step after the other lets the event loop turn between them", async () => {
  const budget = new TurnBudget(10);
  let turns = 0;
  const count = (): void => void (turns++, (counting = setImmediate(count)));
  let counting = setImmediate(count);
  for (let step = 0; step < 50; step++) await budget.take(10);
  clearImmediate(counting);
  expect(turns).toBeWithin(48, 52);
});

test("a step in a turn without others waits for nothing", async () => {
  const budget = new TurnBudget(10);
  for (let time = 0; time < 3; time++) {
    let turned = false;
    setImmediate(() => (turned = true));
    await budget.take(10);
    expect(turned).toBe(false);
    await nextTurn();
    await nextTurn();
  }
});
