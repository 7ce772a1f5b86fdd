/** Clients that push large blobs at once do not keep others waiting: what all of them have hashed in a turn is bounded. */
import { expect, spyOn, test } from "bun:test";
import { Digester } from "../../src/oci/digest.ts";
import { HASHED_BYTES_PER_TURN } from "../../src/registry/hash-turns.ts";
import { RegistryHere } from "../costs/support/registry-here.ts";

const UPLOADS = 16;
const BYTES = 2 * 1024 * 1024;

/** Bytes that were hashed in each turn of the event loop while `work` ran. */
async function hashedPerTurn(work: () => Promise<unknown>): Promise<readonly number[]> {
  const turns = [0];
  let isOver = false;
  const count = (): void => {
    if (isOver) return;
    turns.push(0);
    setImmediate(count);
  };
  setImmediate(count);
  const update: (this: Digester, bytes: Uint8Array) => void = Reflect.get(Digester.prototype, "update");
  using _ = spyOn(Digester.prototype, "update").mockImplementation(function (this: Digester, bytes) {
    turns[turns.length - 1]! += bytes.length;
    update.call(this, bytes);
  });
  await work();
  isOver = true;
  return turns;
}

test("16 uploads of 2 MiB at once are hashed 2 MiB in a turn of the event loop", async () => {
  await using registry = await RegistryHere.open();
  const locations = await Promise.all(
    Array.from({ length: UPLOADS }, async (_, number) => {
      const { headers } = await registry.send("POST", `team/app${number}/blobs/uploads/`);
      return headers.get("location")!.replace(/^.*?\/v2\//, "");
    }),
  );
  const body = new Uint8Array(BYTES);
  const turns = await hashedPerTurn(() =>
    Promise.all(locations.map((location) => registry.send("PATCH", location, body))),
  );
  expect(turns.reduce((sum, bytes) => sum + bytes)).toBe(UPLOADS * BYTES);
  expect(Math.max(...turns)).toBeLessThanOrEqual(HASHED_BYTES_PER_TURN);
});
