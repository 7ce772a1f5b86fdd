/** The memory of all uploads together: an upload that wants more than is left waits. */

/** Bytes that are borrowed, until they are given back. */
export interface Borrowed extends Disposable {
  readonly buffer: Uint8Array;
}

/** Fills its buffer at the pace of a client, and can do without it while others wait. */
export interface Borrower {
  /** Bytes that came into the buffer since it was borrowed; undefined while the borrower works on them. */
  readonly received: number | undefined;
  /** Keeps the bytes elsewhere and gives the buffer back, or keeps it when that fails. Never rejects. */
  setAside(): Promise<void>;
}

export interface Wish {
  /** Who fills the buffer; absent when it is given back soon in any case. */
  readonly borrower?: Borrower;
  /** Whether its bytes were set aside: others come first, for a while. */
  readonly isReturning?: boolean;
}

/** Buffers of one size that are kept for the next upload. */
const MAX_SPARE = 4;

/** How often slow borrowers are searched for while an upload waits. */
const LOOK_MS = 250;
/** For how long a borrower is not asked for a buffer that it has just got. */
const KEPT_MS = 1000;
/** A borrower that would need longer than that to fill its buffer is slow. */
const FILLED_MS = 30_000;
/** For how long those whose bytes were set aside let others go first: what they cost is written and read again each time. */
const RETURN_MS = 10_000;

interface Waiting {
  readonly bytes: number;
  readonly isReturning: boolean;
  readonly since: number;
  go(): void;
}

interface Loan {
  readonly bytes: number;
  readonly borrower: Borrower | undefined;
  since: number;
  isSetAside: boolean;
}

export class UploadMemory {
  readonly #total: number;
  readonly #waiting: Waiting[] = [];
  readonly #loans = new Set<Loan>();
  #spare: Uint8Array[] = [];
  #lent = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(total: number) {
    this.#total = total;
  }

  /** Bytes that are borrowed now. */
  get lent(): number {
    return this.#lent;
  }

  /**
   * A buffer of `bytes`, with undefined contents, once there is room: in the order of the calls, but those that return come
   * later. A borrower must be able to give its buffer back without another: then each gets one in the end. Borrowers that
   * are slow are asked to, slowest first, while others wait.
   */
  async borrow(bytes: number, { borrower, isReturning = false }: Wish = {}): Promise<Borrowed> {
    if (this.#waiting.length > 0 || !this.#fits(bytes)) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push({ bytes, isReturning, since: performance.now(), go: resolve });
      this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
      this.#serve();
      await promise;
    } else {
      this.#lent += bytes;
    }
    const loan: Loan = { bytes, borrower, since: performance.now(), isSetAside: false };
    this.#loans.add(loan);
    let buffer: Uint8Array | undefined = this.#take(bytes);
    return {
      buffer,
      [Symbol.dispose]: () => {
        if (!buffer) return;
        this.#loans.delete(loan);
        this.#giveBack(buffer);
        buffer = undefined;
      },
    };
  }

  /** A spare buffer or a new one; spare ones are dropped for which there is no room any more. */
  #take(bytes: number): Uint8Array {
    const at = this.#spare.findIndex(({ length }) => length === bytes);
    const [spare] = at < 0 ? [] : this.#spare.splice(at, 1);
    let room = this.#total - this.#lent;
    this.#spare = this.#spare.filter(({ length }) => (room -= length) >= 0);
    return spare ?? new Uint8Array(bytes);
  }

  /** One that is larger than everything waits until nothing else is lent. */
  #fits(bytes: number): boolean {
    return this.#lent === 0 || this.#lent + bytes <= this.#total;
  }

  #giveBack(buffer: Uint8Array): void {
    this.#lent -= buffer.length;
    this.#spare.unshift(buffer);
    this.#spare.length = Math.min(this.#spare.length, MAX_SPARE);
    this.#serve();
  }

  #serve(): void {
    const now = performance.now();
    for (;;) {
      const next = this.#waiting.find((each) => isDue(each, now)) ?? this.#waiting[0];
      if (!next || !this.#fits(next.bytes)) break;
      this.#waiting.splice(this.#waiting.indexOf(next), 1);
      this.#lent += next.bytes;
      next.go();
    }
    if (this.#waiting.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Asks as many slow borrowers for their buffers as the waiting ones need. */
  #look(): void {
    this.#serve();
    const now = performance.now();
    let missing = this.#lent - this.#total;
    for (const each of this.#waiting) if (isDue(each, now)) missing += each.bytes;
    for (const { isSetAside, bytes } of this.#loans) if (isSetAside) missing -= bytes;
    const slow = [...this.#loans].filter((loan) => isSlow(loan, now)).toSorted((a, b) => pace(a, now) - pace(b, now));
    for (const loan of slow) {
      if (missing <= 0) return;
      missing -= loan.bytes;
      loan.isSetAside = true;
      void loan.borrower?.setAside().finally(() => {
        loan.isSetAside = false; // of no account any more, unless it failed: then it is tried again, not at once
        loan.since = performance.now();
      });
    }
  }
}

function isDue({ isReturning, since }: Waiting, now: number): boolean {
  return !isReturning || now - since >= RETURN_MS;
}

function isSlow(loan: Loan, now: number): boolean {
  if (loan.isSetAside || loan.borrower?.received === undefined || now - loan.since < KEPT_MS) return false;
  return pace(loan, now) * FILLED_MS < loan.bytes;
}

/** Bytes that came in a millisecond. */
function pace({ borrower, since }: Loan, now: number): number {
  return (borrower?.received ?? 0) / (now - since);
}
