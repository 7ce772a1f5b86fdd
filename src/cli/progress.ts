/** A progress line at a terminal. */

export interface Progress {
  /** How much is done; of how much, when that is known. */
  update(done: number, total?: number, format?: (done: number) => string): void;
  /** Takes the line away. */
  end(): void;
}

const WIDTH = 30;
const EVERY_MS = 100;

/** Writes to standard error, apart from the output; silent when that is not a terminal. */
export function showProgress(what: string): Progress {
  if (!process.stderr.isTTY) return { update: () => {}, end: () => {} };
  let shownAt = -EVERY_MS;
  return {
    update(done, total, format = (count) => count.toLocaleString("en")) {
      const now = performance.now();
      if (now - shownAt < EVERY_MS) return;
      shownAt = now;
      process.stderr.write(`\r\x1b[K${what} ${total ? bar(done, total) : format(done)}`);
    },
    end: () => void process.stderr.write("\r\x1b[K"),
  };
}

function bar(done: number, total: number): string {
  const share = Math.min(1, done / total);
  const filled = Math.round(share * WIDTH);
  return `[${"█".repeat(filled)}${"░".repeat(WIDTH - filled)}] ${Math.floor(share * 100)}%`;
}
