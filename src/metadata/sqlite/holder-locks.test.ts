/** Who holds uploads on one machine: the system tells at once when a process has died, however it died. */
import { afterAll, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HolderLocks } from "./holder-locks.ts";

const root = await mkdtemp(join(tmpdir(), "stowage-holders-"));
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** A folder, and the locks in it as two processes see them. */
async function openFolder() {
  const data = await mkdtemp(join(root, "data-"));
  return { data, folder: join(data, "holders"), here: new HolderLocks(data), there: new HolderLocks(data) };
}

/** Another process that holds, and waits to be killed. */
async function startHolder(data: string) {
  const program = `
    const { HolderLocks } = await import(${JSON.stringify(join(import.meta.dir, "holder-locks.ts"))});
    globalThis.holder = await new HolderLocks(${JSON.stringify(data)}).announce(); // collected, it would lose its lock
    console.log(holder.id);
    setInterval(() => {}, 1000);`;
  const child = Bun.spawn([process.execPath, "-e", program], { stdout: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  return { child, id: new TextDecoder().decode(value).trim() };
}

test("a holder counts as running until it is disposed of, for itself and for others", async () => {
  const { here, there, folder } = await openFolder();
  const holder = await here.announce();
  const another = await here.announce();
  for (const locks of [here, there]) expect(await locks.fateOf(holder.id)).toBe("runs");
  await holder[Symbol.asyncDispose]();
  await holder[Symbol.asyncDispose]();
  for (const locks of [here, there]) expect(await locks.fateOf(holder.id)).toBe("ended");
  expect(await there.fateOf(another.id)).toBe("runs");
  await another[Symbol.asyncDispose]();
  expect(await readdir(folder)).toEqual([]);
});

test("asking does not end it, however often and by however many at once", async () => {
  const { here, there } = await openFolder();
  await using holder = await here.announce();
  const answers = await Promise.all(Array.from({ length: 50 }, () => there.fateOf(holder.id)));
  expect(new Set(answers)).toEqual(new Set(["runs"]));
});

test("a holder whose process was killed with SIGKILL has ended at once; one that sleeps has not", async () => {
  const { here, data, folder } = await openFolder();
  const { child, id } = await startHolder(data);
  expect(await here.fateOf(id)).toBe("runs");
  child.kill("SIGSTOP");
  expect(await here.fateOf(id)).toBe("runs");
  child.kill("SIGKILL");
  await child.exited;
  expect(await here.fateOf(id)).toBe("ended");
  expect(await readdir(folder)).toEqual([]);
});

test("an unknown holder has ended", async () => {
  const { here } = await openFolder();
  expect(await here.fateOf("00000000-0000-4000-8000-000000000000")).toBe("ended");
});

test("a new holder removes the files of those that died, and leaves those that run", async () => {
  const { here, there, folder } = await openFolder();
  await using running = await here.announce();
  for (let count = 0; count < 3; count++) await writeFile(join(folder, `dead-${count}`), "");
  await using next = await there.announce();
  expect((await readdir(folder)).toSorted()).toEqual([running.id, next.id].toSorted());
});

test("only the owner may look at the files", async () => {
  const before = process.umask(0);
  try {
    const { here, folder } = await openFolder();
    await using holder = await here.announce();
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder, holder.id))).mode & 0o777).toBe(0o600);
  } finally {
    process.umask(before);
  }
});
