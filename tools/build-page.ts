/**
 * Builds the page of `ui/`. The program and the library take what it returns into themselves, when they are bundled: this runs as a
 * macro. Where the sources themselves run, it runs when the page is first asked for.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";

const UI = resolve(import.meta.dir, "../ui");

/** The document, where `{base}` stands for the path that its addresses are relative to, and the files that it names. */
export interface BuiltPage {
  readonly document: string;
  /** Their texts by their names, which hold a hash of the text. */
  readonly files: Readonly<Record<string, string>>;
}

/** Throws with the compiler's words when something does not compile. */
export function builtPage(): BuiltPage {
  const files: Record<string, string> = {};
  let document = readFileSync(join(UI, "index.html"), "utf8");
  const add = (place: string, name: string, text: string): void => {
    const [stem = "", ending = ""] = name.split(".");
    const hash = createHash("sha256").update(text).digest("hex").slice(0, 10);
    const hashed = `${stem}-${hash}.${ending}`;
    files[hashed] = text;
    document = document.replaceAll(`{${place}}`, hashed);
  };
  add("script", "page.js", bundled("main.tsx"));
  add("style", "page.css", bundled("page.css"));
  add("icon", "icon.svg", readFileSync(join(UI, "icon.svg"), "utf8"));
  return { document, files };
}

/** A macro cannot call the bundler that it runs in. */
function bundled(entry: string): string {
  const command = [process.execPath, "build", join(UI, entry), "--minify", "--target=browser", "--env=disable"];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, {
    cwd: UI,
    env: { ...process.env, BUN_BE_BUN: "1" },
  });
  if (exitCode !== 0) throw new Error(`ui/${entry} cannot be built:\n${stderr.toString()}`);
  return stdout.toString();
}
