/**
 * Builds the program, `dist/program/stowage.js`: all of `bin/stowage` in one file, with its bytecode beside it, so that
 * it starts in a third of the time that its sources need. `npm start` and `npm test` build it when a source is newer, and
 * `bin/stowage` runs the sources until then.
 */
import { chmod, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");

/** Replaces `folder`; a program that runs from it goes on. `definitions` are constants of the sources. */
export async function buildProgram(folder: string, definitions: Record<string, string> = {}): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const scratch = await mkdtemp(`${folder}-`);
  try {
    await Bun.build({
      entrypoints: [join(ROOT, "src/main.ts")],
      outdir: scratch,
      naming: "stowage.js",
      target: "bun",
      format: "cjs", // the one form that has bytecode
      bytecode: true,
      define: definitions,
      throw: true,
    });
    await chmod(scratch, 0o755); // who runs it need not be who built it
    await rm(folder, { recursive: true, force: true });
    await rename(scratch, folder);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

if (import.meta.main) await buildProgram(join(ROOT, "dist/program"));
