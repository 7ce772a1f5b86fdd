/** Who holds a lease, how it lasts, and how it is lost. */
import { expect, test } from "bun:test";
import { MemoryEngine } from "../../metadata/memory/memory-engine.ts";
import { Metadata } from "../../metadata/metadata.ts";
import { rows } from "../../metadata/testing/raw-sql.ts";
import { Lease } from "./lease.ts";

const LENGTH_MS = 40;

async function openSubject() {
  const clock = { ms: 1_700_000_000_000, now: () => clock.ms };
  const engine = await MemoryEngine.open();
  const metadata = new Metadata(engine, clock);
  return {
    clock,
    metadata,
    lease: (lengthMs = LENGTH_MS) => new Lease({ metadata, clock }, "work", lengthMs),
    change: (text: string) => engine.write(() => rows(text)),
    [Symbol.asyncDispose]: () => metadata.close(),
  };
}

/** Resolves once the signal is aborted. */
async function aborted(signal: AbortSignal): Promise<void> {
  while (!signal.aborted) await Bun.sleep(1);
}

test("one holder at a time has a lease, until it is disposed of", async () => {
  await using subject = await openSubject();
  const lease = subject.lease();
  {
    await using held = await lease.hold();
    expect(held).toBeDefined();
    expect(await lease.hold()).toBeUndefined();
    expect(await subject.lease().hold()).toBeUndefined();
    expect(await held?.confirm()).toBe(true);
  }
  expect(await subject.metadata.leases.isHeld("work")).toBe(false);
  await using again = await lease.hold();
  expect(again).toBeDefined();
});

test("a timer renews a lease that is held", async () => {
  await using subject = await openSubject();
  await using held = await subject.lease().hold();
  for (let step = 0; step < 10; step++) {
    const renewed = (await until(subject)) + LENGTH_MS / 4;
    subject.clock.ms += LENGTH_MS / 4;
    while ((await until(subject)) < renewed) await Bun.sleep(1);
  }
  expect(held?.lost.aborted).toBe(false);
});

test("a lease that ended is lost, though no other process took it", async () => {
  await using subject = await openSubject();
  await using held = await subject.lease(3_600_000).hold();
  subject.clock.ms += 3_600_000;
  expect(await held?.confirm()).toBe(false);
  expect(held?.lost.aborted).toBe(true);
  subject.clock.ms -= 3_600_000;
  expect(await held?.confirm()).toBe(false);
});

test("a holder learns from its timer that another process has the lease", async () => {
  await using subject = await openSubject();
  await using held = await subject.lease().hold();
  await subject.change("update lease set holder = 'another process'");
  await aborted(held!.lost);
  expect(await held?.confirm()).toBe(false);
});

test("disposing of a lost lease leaves the one of the other process", async () => {
  await using subject = await openSubject();
  {
    await using held = await subject.lease().hold();
    await subject.change("update lease set holder = 'another process'");
    await aborted(held!.lost);
  }
  expect(await subject.metadata.leases.isHeld("work")).toBe(true);
});

test("a database that fails for a moment loses no lease; one that fails for longer does", async () => {
  await using subject = await openSubject();
  await using held = await subject.lease(3_600_000).hold();
  await subject.change("alter table lease rename to lease_gone");
  expect(await held?.confirm()).toBe(false);
  expect(held?.lost.aborted).toBe(false);
  await subject.change("alter table lease_gone rename to lease");
  expect(await held?.confirm()).toBe(true);

  await subject.change("alter table lease rename to lease_gone");
  subject.clock.ms += 3_600_000;
  expect(await held?.confirm()).toBe(false);
  expect(held?.lost.aborted).toBe(true);
  await subject.change("alter table lease_gone rename to lease");
});

async function until(subject: Awaited<ReturnType<typeof openSubject>>): Promise<number> {
  const [row] = (await subject.change("select until from lease")) as readonly { readonly until: number }[];
  return row?.until ?? 0;
}
