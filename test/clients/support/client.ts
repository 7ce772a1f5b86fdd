/** A client on one registry, with a home folder of its own. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { dockerConfig, environmentFor, regctlConfig, wordsFor } from "./access.ts";
import { commandOf } from "./clients.ts";
import type { ClientName, Command } from "./clients.ts";
import { run, runToFailure } from "./programs.ts";
import type { Output, RunOptions } from "./programs.ts";
import { makeScratchFolder } from "./scratch-folder.ts";
import type { ScratchFolder } from "./scratch-folder.ts";

/** What a client speaks to, by the name that stands before the repository in a reference. */
interface Named {
  readonly name: string;
}

type Environment = Readonly<Record<string, string>>;

export class Client implements AsyncDisposable {
  readonly #name: ClientName;
  readonly #command: Command;
  readonly #registry: Named;
  readonly #folder: ScratchFolder;

  private constructor(name: ClientName, command: Command, registry: Named, folder: ScratchFolder) {
    this.#name = name;
    this.#command = command;
    this.#registry = registry;
    this.#folder = folder;
  }

  /** Builds the client when it is not there yet. `more` is what it finds in its environment besides. */
  static async of(name: ClientName, registry: Named, more: Environment = {}): Promise<Client> {
    const { env, ...command } = await commandOf(name);
    const folder = await makeScratchFolder();
    for (const each of ["work", ".docker", ".regctl"]) await mkdir(join(folder.path, each));
    await writeFile(join(folder.path, ".docker/config.json"), dockerConfig(registry.name));
    const hosts = regctlConfig(registry.name);
    if (hosts !== undefined) await writeFile(join(folder.path, ".regctl/config.json"), hosts);
    const found = { HOME: folder.path, ...environmentFor(registry.name), ...env, ...more };
    return new Client(name, { ...command, env: found }, registry, folder);
  }

  /** The folder in which the client runs, removed with all the rest. */
  get folder(): string {
    return join(this.#folder.path, "work");
  }

  /** A path in that folder. */
  file(name: string): string {
    return join(this.folder, name);
  }

  /** Runs it, told how to reach the registry; rejects when it fails. */
  run(...words: readonly string[]): Promise<Output> {
    return run(this.#command.program, this.#told(words), this.#options());
  }

  /** Runs it with a file as its standard input. */
  reads(stdin: string, ...words: readonly string[]): Promise<Output> {
    return run(this.#command.program, this.#told(words), { ...this.#options(), stdin });
  }

  /** Runs it and gives what it printed on standard output, without the last line's end. */
  async says(...words: readonly string[]): Promise<string> {
    return (await this.run(...words)).stdout.trimEnd();
  }

  /** Runs it and reads what it printed as JSON. */
  async json<Value>(...words: readonly string[]): Promise<Value> {
    return JSON.parse((await this.run(...words)).stdout) as Value;
  }

  /** Runs it and expects it to fail. */
  fails(...words: readonly string[]): Promise<Output> {
    return runToFailure(this.#command.program, this.#told(words), this.#options());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#folder[Symbol.asyncDispose]();
  }

  #told(words: readonly string[]): readonly string[] {
    return [...this.#command.words, ...wordsFor(this.#name, words, this.#registry.name)];
  }

  #options(): RunOptions {
    return { cwd: this.folder, env: this.#command.env };
  }
}
