/** Users in an htpasswd file, as Apache and distribution have them: a name and a hash on each line. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { Clock } from "../lib/clock.ts";
import { WatchedFile } from "../lib/watched-file.ts";
import type { Logger } from "../observe/logger.ts";
import type { HashClass } from "./decoy-hashes.ts";
import { AFFORDABLE_COSTS, hashCost } from "./passwords.ts";
import type { Passwords } from "./passwords.ts";

/** How a generation begins that comes from a file. */
export const FILE_GENERATION = "file:";

export interface HtpasswdEntry {
  readonly hash: string;
  /** Another one when the user's line changed. */
  readonly generation: string;
}

/** The users of a file, as it is now. A file that cannot be read has none. */
export class HtpasswdFile {
  readonly #file: WatchedFile<Entries>;

  constructor(path: string, clock: Clock, log: Logger) {
    this.#file = new WatchedFile(path, clock, {
      parse(text) {
        const { entries, warnings } = parseHtpasswd(text);
        for (const warning of warnings) log.warn(`${path}: ${warning}`);
        return { byName: entries, hashClasses: hashClassesOf(entries) };
      },
      onError(error) {
        log.error({ err: error }, `${path} cannot be read: its users cannot log in`);
        return { byName: new Map(), hashClasses: [] };
      },
    });
  }

  find(name: string): HtpasswdEntry | undefined {
    return this.#file.content.byName.get(name);
  }

  /** What it takes to verify the passwords of its users. */
  get hashClasses(): readonly HashClass[] {
    return this.#file.content.hashClasses;
  }
}

interface Entries {
  readonly byName: ReadonlyMap<string, HtpasswdEntry>;
  readonly hashClasses: readonly HashClass[];
}

/** Of two lines with the same name the last one counts, as in distribution. */
export function parseHtpasswd(text: string): {
  readonly entries: ReadonlyMap<string, HtpasswdEntry>;
  readonly warnings: readonly string[];
} {
  const entries = new Map<string, HtpasswdEntry>();
  const warnings: string[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const colon = line.indexOf(":");
    const [name, hash] = colon < 1 ? ["", ""] : [line.slice(0, colon), line.slice(colon + 1)];
    if (name === "") {
      warnings.push(`line ${index + 1} is not NAME:HASH and is ignored`);
      continue;
    }
    const problem = hashProblem(hash);
    if (problem === undefined) entries.set(name, { hash, generation: generationOf(line) });
    else {
      entries.delete(name);
      warnings.push(
        `line ${index + 1}: the password of ${name} ${problem}, so ${name} cannot log in: ` +
          `htpasswd -B FILE ${name} makes a new one`,
      );
    }
  }
  return { entries, warnings };
}

/** Undefined when passwords can be compared with this hash. */
function hashProblem(hash: string): string | undefined {
  const cost = hashCost(hash);
  if (!cost) return "has a hash that is neither bcrypt nor argon2id";
  // Each attempt to log in, under any name, makes the server compute it.
  return cost.isAffordable ? undefined : `has a hash whose cost is too high (allowed: ${AFFORDABLE_COSTS})`;
}

function hashClassesOf(entries: ReadonlyMap<string, HtpasswdEntry>): readonly HashClass[] {
  const classes = new Map<string, HashClass>();
  for (const { hash } of entries.values()) {
    const label = hashCost(hash)?.label ?? "";
    classes.set(label, { hash, label, count: (classes.get(label)?.count ?? 0) + 1 });
  }
  return [...classes.values()];
}

function generationOf(line: string): string {
  return FILE_GENERATION + createHash("sha256").update(line).digest("base64url").slice(0, 16);
}

/** The file does not exist and cannot be created. */
export class HtpasswdError extends Error {
  override readonly name = "HtpasswdError";
}

/** Creates the file when it does not exist, with a user `docker` whose password is logged once. */
export async function provideHtpasswd(path: string, passwords: Passwords, log: Logger): Promise<void> {
  if (existsSync(path)) return;
  const password = randomBytes(24).toString("base64url");
  try {
    // In a form that distribution and Apache understand too.
    const line = `docker:${await passwords.hash(password, "bcrypt")}\n`;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await writeFile(path, line, { flag: "wx", mode: 0o600, flush: true });
  } catch (error) {
    if (existsSync(path)) return; // another process was quicker
    const { message } = error as Error;
    throw new HtpasswdError(`auth.htpasswd.path: ${path} does not exist and cannot be created (${message})`, {
      cause: error,
    });
  }
  log.warn({ user: "docker", password }, `${path} was created, with one user; this password is not logged again`);
}
