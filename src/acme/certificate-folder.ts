/** The folder with the certificate, its key, the account key and challenge answers; private, unless it is group-writable. */
import { createPrivateKey, generateKeyPairSync, randomUUID } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { access, constants, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileErrorReason } from "../lib/file-error.ts";
import { InheritedPermissions } from "../lib/inherited-permissions.ts";
import type { Failure } from "./backoff.ts";

/** The folder cannot be used; the message says why. */
export class CertificateFolderError extends Error {
  override readonly name = "CertificateFolderError";
}

const CERTIFICATE = "certificate.pem";
const ACCOUNT_KEY = "account-key.pem";
const FAILURE = "failure.json";
const FILES = [CERTIFICATE, ACCOUNT_KEY, FAILURE] as const;

export class CertificateFolder {
  readonly #path: string;
  readonly #permissions: InheritedPermissions;

  private constructor(path: string, permissions: InheritedPermissions) {
    this.#path = path;
    this.#permissions = permissions;
  }

  /** Each CA has its own folder below `path`. */
  static async open(path: string, directory: string): Promise<CertificateFolder> {
    const { host, pathname } = new URL(directory);
    const found = await stat(path).catch(() => undefined);
    if (found && !found.isDirectory()) {
      throw new CertificateFolderError(`${path} is a file: give the path of a folder`);
    }
    try {
      await mkdir(path, { recursive: true, mode: 0o700 });
      const permissions = InheritedPermissions.in(path);
      const ownPath = join(path, `${host}${pathname}`.replaceAll(/[^\w.-]+/g, "_"));
      const folder = new CertificateFolder(ownPath, permissions);
      for (const each of [ownPath, folder.#answers]) {
        await permissions.makeFolder(each);
        await access(each, constants.R_OK | constants.W_OK | constants.X_OK);
      }
      for (const each of FILES) await access(join(ownPath, each), constants.R_OK).catch(ignoreMissing);
      return folder;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const reason = code === "ENOENT" ? "the folder cannot be created" : fileErrorReason(error);
      throw new CertificateFolderError(`${path} cannot be written: ${reason}`, { cause: error });
    }
  }

  /** Of the file with the key, the certificate, and those that lead to its authority: one file, so that they never differ. */
  get certificatePath(): string {
    return join(this.#path, CERTIFICATE);
  }

  /** Where to write what keeps the next order from being made, for messages. */
  get failurePath(): string {
    return join(this.#path, FAILURE);
  }

  get #answers(): string {
    return join(this.#path, "challenges");
  }

  /** Undefined when there is none yet. */
  async certificate(): Promise<string | undefined> {
    return await textOf(this.certificatePath);
  }

  async putCertificate(key: KeyObject, chain: string): Promise<void> {
    await this.#put(CERTIFICATE, `${key.export({ type: "pkcs8", format: "pem" })}${chain}`);
  }

  /** By which the authority knows the account; made once. */
  async accountKey(): Promise<KeyObject> {
    const text = await textOf(join(this.#path, ACCOUNT_KEY));
    if (text !== undefined) return createPrivateKey(text);
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    await this.#put(ACCOUNT_KEY, privateKey.export({ type: "pkcs8", format: "pem" }));
    return privateKey;
  }

  /** Undefined when the last order was filled. */
  async failure(): Promise<Failure | undefined> {
    const text = await textOf(this.failurePath);
    return text === undefined ? undefined : (JSON.parse(text) as Failure);
  }

  async putFailure(failure: Failure): Promise<void> {
    await this.#put(FAILURE, JSON.stringify(failure));
  }

  async clearFailure(): Promise<void> {
    await rm(this.failurePath, { force: true });
  }

  /** Returns the answer to the challenge `token`. In files, because any process may get the challenge. */
  async answer(token: string): Promise<string | undefined> {
    return /^[\w-]+$/.test(token) ? await textOf(join(this.#answers, token)) : undefined;
  }

  async putAnswer(token: string, answer: string): Promise<void> {
    if (!/^[\w-]+$/.test(token)) throw new CertificateFolderError("the challenge token is not a valid file name");
    await this.#put(join("challenges", token), answer);
  }

  async clearAnswers(): Promise<void> {
    await rm(this.#answers, { recursive: true, force: true });
    await this.#permissions.makeFolder(this.#answers);
  }

  /** A reader finds the old text or the new one; the new one is durable when this resolves. */
  async #put(name: string, text: string): Promise<void> {
    const path = join(this.#path, name);
    const temporary = join(this.#path, `temporary-${randomUUID()}`);
    const file = await open(temporary, "wx", this.#permissions.fileMode);
    try {
      await this.#permissions.applyToFile(file);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const folder = await open(this.#path, "r");
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }
}

async function textOf(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(ignoreMissing);
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code === "ENOENT") return undefined;
  throw error;
}
