/** The delay after a failed order. Because authorities count failed orders, and lock out clients that retry at once. */

/** Consecutive orders that failed. */
export interface Failure {
  readonly count: number;
  readonly at: number;
  readonly reason: string;
}

export interface Backoff {
  readonly firstMs: number;
  readonly longestMs: number;
}

/** While a certificate is in use. */
export const RENEWAL_BACKOFF: Backoff = { firstMs: 3_600_000, longestMs: 86_400_000 };

/** While there is no certificate yet. */
export const START_BACKOFF: Backoff = { firstMs: 60_000, longestMs: 3_600_000 };

/** Returns the time of the next order: each delay is twice as long as the one before. */
export function nextTryAt({ count, at }: Failure, { firstMs, longestMs }: Backoff): number {
  return at + Math.min(firstMs * 2 ** (count - 1), longestMs);
}
