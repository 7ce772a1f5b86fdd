/** Hashing keeps no request waiting, however many clients push at once. */
import { TurnBudget } from "../lib/turn-budget.ts";
import type { Digester } from "../oci/digest.ts";

/** Bytes that all uploads of this process hash in one turn of the event loop: 2 to 7 ms of work. */
export const HASHED_BYTES_PER_TURN = 2 * 1024 * 1024;

const hashTurns = new TurnBudget(HASHED_BYTES_PER_TURN);

/** Hashes bytes as soon as a turn of the event loop has room for them. Until it resolves they must not change. */
export async function hashInTurns(digester: Digester, bytes: Uint8Array): Promise<void> {
  for (let start = 0; start < bytes.length; start += HASHED_BYTES_PER_TURN) {
    const piece = bytes.subarray(start, start + HASHED_BYTES_PER_TURN);
    await hashTurns.take(piece.length);
    digester.update(piece);
  }
}
