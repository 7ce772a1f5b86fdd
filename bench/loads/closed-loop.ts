/** Clients that each begin their next operation when the last one is done. */
import { latencyOf } from "./load.ts";
import type { Load } from "./load.ts";

/** Goes on for `seconds`, or until an operation gives `undefined`; an operation gives the bytes that it moved. */
export async function closedLoop<Client>(
  clients: readonly Client[],
  seconds: number,
  operation: (client: Client, at: number) => Promise<number | undefined>,
): Promise<Load> {
  const millis: number[] = [];
  let bytes = 0;
  const started = performance.now();
  const until = started + seconds * 1000;
  await Promise.all(
    clients.map(async (client, at) => {
      for (let begun = performance.now(); begun < until; begun = performance.now()) {
        const moved = await operation(client, at);
        if (moved === undefined) return;
        bytes += moved;
        millis.push(performance.now() - begun);
      }
    }),
  );
  const took = (performance.now() - started) / 1000;
  return { operations: millis.length, seconds: took, bytes, latencyMs: latencyOf(millis) };
}
