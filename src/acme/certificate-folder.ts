/** The folder of a certificate and of all that is needed to get the next one; readable by its owner alone. */
import { createPrivateKey, generateKeyPairSync, randomUUID } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Failure } from "./pauses.ts";

/** The folder cannot be used; the message says why. */
export class CertificateFolderError extends Error {
  override readonly name = "CertificateFolderError";
}

export class CertificateFolder {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Authorities are kept apart, each in a folder of its own below `path`: what one of them signed is not another one's. */
  static async open(path: string, directory: string): Promise<CertificateFolder> {
    const { host, pathname } = new URL(directory);
    const folder = new CertificateFolder(join(path, `${host}${pathname}`.replaceAll(/[^\w.-]+/g, "_")));
    const found = await stat(path).catch(() => undefined);
    if (found && !found.isDirectory()) {
      throw new CertificateFolderError(`${path} is a file, where a folder is needed: name a folder of its own`);
    }
    try {
      await mkdir(folder.#answers, { recursive: true, mode: 0o700 });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new CertificateFolderError(`${path} cannot be made (${code ?? "unknown reason"})`, { cause: error });
    }
    return folder;
  }

  /** Of the file with the key, the certificate, and those that lead to its authority: one file, so that they never differ. */
  get certificatePath(): string {
    return join(this.#path, "certificate.pem");
  }

  /** Where to write what keeps the next order from being made, for messages. */
  get failurePath(): string {
    return join(this.#path, "failure.json");
  }

  get #answers(): string {
    return join(this.#path, "challenges");
  }

  /** Undefined when there is none yet. */
  async certificate(): Promise<string | undefined> {
    return await textOf(this.certificatePath);
  }

  async putCertificate(key: KeyObject, chain: string): Promise<void> {
    await this.#put("certificate.pem", `${key.export({ type: "pkcs8", format: "pem" })}${chain}`);
  }

  /** By which the authority knows the account; made once. */
  async accountKey(): Promise<KeyObject> {
    const text = await textOf(join(this.#path, "account-key.pem"));
    if (text !== undefined) return createPrivateKey(text);
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    await this.#put("account-key.pem", privateKey.export({ type: "pkcs8", format: "pem" }));
    return privateKey;
  }

  /** Undefined when the last order was filled. */
  async failure(): Promise<Failure | undefined> {
    const text = await textOf(this.failurePath);
    return text === undefined ? undefined : (JSON.parse(text) as Failure);
  }

  async putFailure(failure: Failure): Promise<void> {
    await this.#put("failure.json", JSON.stringify(failure));
  }

  async forgetFailure(): Promise<void> {
    await rm(this.failurePath, { force: true });
  }

  /** What to answer when the authority asks for `token`. In files, for whichever process is asked. */
  async answer(token: string): Promise<string | undefined> {
    return /^[\w-]+$/.test(token) ? await textOf(join(this.#answers, token)) : undefined;
  }

  async putAnswer(token: string, answer: string): Promise<void> {
    if (!/^[\w-]+$/.test(token)) throw new CertificateFolderError("a token is no name of a file");
    await this.#put(join("challenges", token), answer);
  }

  async forgetAnswers(): Promise<void> {
    await rm(this.#answers, { recursive: true, force: true });
    await mkdir(this.#answers, { mode: 0o700 });
  }

  /** Whoever reads it finds the old text or the new one; it is durable when this resolves. */
  async #put(name: string, text: string): Promise<void> {
    const path = join(this.#path, name);
    const draft = join(this.#path, `draft-${randomUUID()}`);
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, path);
    const folder = await open(this.#path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
