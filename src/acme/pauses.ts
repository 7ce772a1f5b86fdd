/** How long nothing is ordered after an order failed: authorities count what they refuse, and lock out who goes on. */

/** What is remembered of orders that failed, one after the other. */
export interface Failure {
  readonly count: number;
  readonly at: number;
  readonly reason: string;
}

export interface Pauses {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** While the registry is served with what there is. */
export const RENEWAL_PAUSES: Pauses = { firstMs: 3_600_000, longestMs: 86_400_000 };

/** While somebody waits for the first certificate. */
export const START_PAUSES: Pauses = { firstMs: 60_000, longestMs: 3_600_000 };

/** Each pause is twice as long as the one before. */
export function nextTryAt({ count, at }: Failure, { firstMs, longestMs }: Pauses): number {
  return at + Math.min(firstMs * 2 ** (count - 1), longestMs);
}
