/** `bin/stowage` runs the built program, and in a checkout never one that is older than a source. */
import { expect, test } from "bun:test";
import { chmod, cp, mkdir, rm, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ROOT } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";

const BUILT = "dist/program/stowage.js";
const SOURCES = "src/main.ts";
const FILES = [SOURCES, "src/deep/down.ts", "ui/main.tsx", "tools/build-page.ts", "package-lock.json"];

/** Seconds since 1970 that something was changed at. */
const BUILT_AT = 1_000_000;

/** A checkout, or a package, whose runtime prints what it was given; everything in it is older than the built program. */
async function installation(): Promise<string> {
  const folder = await scratchFolder();
  for (const name of ["bin", "tools/newer-source"]) await cp(join(ROOT, name), join(folder, name), { recursive: true });
  for (const file of [...FILES, BUILT, "tools/bun"]) {
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await writeFile(join(folder, file), '#!/bin/sh\nprintf "%s\\n" "$@"\n');
    await age(folder, file, file === BUILT ? 0 : -1);
  }
  await chmod(join(folder, "tools/bun"), 0o755);
  for (const name of ["src", "src/deep", "ui"]) await age(folder, name, -1);
  return folder;
}

async function age(folder: string, file: string, seconds: number): Promise<void> {
  await utimes(join(folder, file), BUILT_AT + seconds, BUILT_AT + seconds);
}

/** Which program the command starts, relative to `folder`. */
function startedIn(folder: string): string | undefined {
  const { stdout } = Bun.spawnSync([join(folder, "bin/stowage"), "serve", "--addr", ":5000"]);
  const words = stdout.toString().split("\n");
  return words[words.indexOf("serve") - 1]?.slice(folder.length + 1);
}

test("the built program runs when no source is newer", async () => {
  expect(startedIn(await installation())).toBe(BUILT);
});

test("in a package, where no sources are", async () => {
  const folder = await installation();
  for (const name of ["src", "tools/newer-source"]) await rm(join(folder, name), { recursive: true });
  expect(startedIn(folder)).toBe(BUILT);
});

for (const file of [...FILES, "src/deep"]) {
  test(`the sources run when ${file} is newer`, async () => {
    const folder = await installation();
    await age(folder, file, 1);
    expect(startedIn(folder)).toBe(SOURCES);
  });
}

test("the sources run when nothing was built", async () => {
  const folder = await installation();
  await rm(join(folder, "dist"), { recursive: true });
  expect(startedIn(folder)).toBe(SOURCES);
});
