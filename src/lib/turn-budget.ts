/** Work in steps: what all of it together does in one turn of the event loop is bounded. */

interface Waiting {
  readonly cost: number;
  go(): void;
}

/**
 * Shares the turns of the event loop among work that is done in steps, in the order in which it asks. Between two turns the
 * runtime reads and answers other requests, however much work there is.
 */
export class TurnBudget {
  /** What the steps of one turn may cost together; a step that costs more has a turn of its own. */
  readonly costPerTurn: number;
  readonly #waiting: Waiting[] = [];
  #spent = 0;

  constructor(costPerTurn: number) {
    this.costPerTurn = costPerTurn;
  }

  /** Resolves when a step of this cost may be done: at once while this turn has budget left, in a later turn otherwise. */
  take(cost: number): Promise<void> {
    if (this.#waiting.length === 0 && this.#hasFor(cost)) {
      this.#spend(cost);
      return Promise.resolve();
    }
    return new Promise((go) => this.#waiting.push({ cost, go }));
  }

  #hasFor(cost: number): boolean {
    return this.#spent === 0 || this.#spent + cost <= this.costPerTurn;
  }

  #spend(cost: number): void {
    if (this.#spent === 0) setImmediate(() => this.#beginTurn());
    this.#spent += Math.max(1, cost);
  }

  #beginTurn(): void {
    this.#spent = 0;
    for (;;) {
      const [next] = this.#waiting;
      if (!next || !this.#hasFor(next.cost)) return;
      this.#waiting.shift();
      this.#spend(next.cost);
      next.go();
    }
  }
}
