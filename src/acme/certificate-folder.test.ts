import { describe, expect, test } from "bun:test";
import { chmod, mkdtemp, readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { scratchFolder } from "../../test/support/scratch.ts";
import { CertificateFolder, CertificateFolderError } from "./certificate-folder.ts";

const scratch = await scratchFolder();
const DIRECTORY = "https://acme.example/directory";

const freshPath = async (): Promise<string> => await mkdtemp(join(scratch, "cache-"));

describe("the folder of a certificate", () => {
  test("keeps one key for the account", async () => {
    const path = await freshPath();
    const exported = async (directory: string): Promise<string | Buffer> => {
      const folder = await CertificateFolder.open(path, directory);
      return (await folder.accountKey()).export({ type: "pkcs8", format: "pem" });
    };
    const first = await exported(DIRECTORY);
    expect(await exported(DIRECTORY)).toEqual(first);
    expect(await exported("https://staging.example/directory")).not.toEqual(first);
  });

  test("gives answers for the tokens that it was given, and no other file", async () => {
    const folder = await CertificateFolder.open(await freshPath(), DIRECTORY);
    await folder.accountKey();
    await folder.putAnswer("tok_en-1", "answer");
    expect(await folder.answer("tok_en-1")).toBe("answer");
    for (const token of ["", ".", "..", "../account-key.pem", "other", "a\0b"]) {
      expect(await folder.answer(token)).toBeUndefined();
    }
    await expect(folder.putAnswer("../x", "answer")).rejects.toThrow(CertificateFolderError);
    await folder.clearAnswers();
    expect(await folder.answer("tok_en-1")).toBeUndefined();
  });

  for (const [what, mode, file, folder] of [
    ["its owner's alone", 0o755, 0o600, 0o700],
    ["its group's, when the group may write", 0o770, 0o660, 0o770],
  ] as const) {
    test(`and what is in it are ${what}, and a folder that is there keeps its mode`, async () => {
      const path = await freshPath();
      await chmod(path, mode);
      const opened = await CertificateFolder.open(path, DIRECTORY);
      await opened.accountKey();
      await opened.putAnswer("token", "answer");
      const modes = new Map<string, number>();
      for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
        modes.set(entry.name, (await stat(join(entry.parentPath, entry.name))).mode & 0o777);
      }
      expect(Object.fromEntries(modes)).toEqual({
        "account-key.pem": file,
        "acme.example_directory": folder,
        challenges: folder,
        token: file,
      });
      expect((await stat(path)).mode & 0o777).toBe(mode);
    });
  }

  test("remembers that an order failed, until it is forgotten", async () => {
    const path = await freshPath();
    const folder = await CertificateFolder.open(path, DIRECTORY);
    expect(await folder.failure()).toBeUndefined();
    const failure = { count: 2, at: 5, reason: "no" };
    await folder.putFailure(failure);
    expect(await (await CertificateFolder.open(path, DIRECTORY)).failure()).toEqual(failure);
    await folder.clearFailure();
    expect(await folder.failure()).toBeUndefined();
    expect((await readdir(path, { recursive: true })).filter((name) => name.includes("temporary"))).toEqual([]);
  });

  test("is refused where a file is, as distribution 2 made it", async () => {
    const path = join(await freshPath(), "letsencrypt.json");
    await writeFile(path, "{}");
    await expect(CertificateFolder.open(path, DIRECTORY)).rejects.toThrow(`${path} is a file`);
    await expect(CertificateFolder.open(join(path, "below"), DIRECTORY)).rejects.toThrow(CertificateFolderError);
  });
});
