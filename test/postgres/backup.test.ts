/** `stowage backup` of every pair of database and store, and `stowage restore` to every other one. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { runProgram, startGroup } from "../support/program.ts";
import { scratchFolder } from "../support/scratch.ts";
import { FaultyS3 } from "../s3/support/faulty-s3.ts";
import { startS3 } from "../s3/support/s3-server.ts";
import { fillPlace, newPlace, rowsIn, servedFrom } from "./support/places.ts";
import { pushBlob, pushImage } from "../support/client.ts";
import { bytesOf } from "../support/content.ts";

setDefaultTimeout(120_000);

const s3 = await startS3();
const root = await scratchFolder();

test.each([
  ["postgres", "s3", "sqlite", "files"],
  ["postgres", "files", "postgres", "s3"],
  ["sqlite", "s3", "postgres", "files"],
] as const)("a backup of %p and %p, made while it serves, is restored to %p and %p", async (...pairs) => {
  const [from, to] = [await newPlace(root, s3, pairs[0], pairs[1]), await newPlace(root, s3, pairs[2], pairs[3])];
  await fillPlace(from, 31);
  const kept = join(root, `kept-${pairs.join("-")}`);
  await using served = await servedFrom(from);
  expect(await runProgram(from.folder, ["backup", kept, "--config", from.config])).toMatchObject({
    exitCode: 0,
    stderr: "",
  });
  await pushImage(served.url, "app", "after-the-backup");
  expect(await runProgram(kept, ["check", "--deep"])).toMatchObject({ exitCode: 0 });
  expect(await runProgram(to.folder, ["restore", kept, "--config", to.config])).toMatchObject({
    exitCode: 0,
    stderr: "",
  });
  expect(await runProgram(to.folder, ["check", "--deep", "--config", to.config])).toMatchObject({ exitCode: 0 });
  await using restored = await servedFrom(to);
  expect((await fetch(`${restored.url}/v2/app/manifests/after-the-backup`)).status).toBe(404);
  expect(await runProgram(to.folder, ["restore", kept, "--config", to.config])).toMatchObject({ exitCode: 2 }); // never over a registry

  const back = await newPlace(root, s3, "sqlite", "files");
  expect(await runProgram(back.folder, ["restore", kept, "--config", back.config])).toMatchObject({ exitCode: 0 });
  const again = join(root, `again-${pairs.join("-")}`);
  expect(await runProgram(to.folder, ["backup", again, "--config", to.config])).toMatchObject({ exitCode: 0 });
  const [first, second] = [rowsIn({ ...back, folder: kept }), rowsIn({ ...back, folder: again })];
  expect({ ...second, audit: [], last_run: [] }).toEqual({ ...first, audit: [], last_run: [] });
});

test("a restore into a bucket that is killed goes on", async () => {
  await using proxy = await FaultyS3.open(s3.url);
  const from = await newPlace(root, s3, "sqlite", "files");
  await fillPlace(from, 32);
  {
    await using served = await servedFrom(from);
    for (let at = 0; at < 20; at++) await pushBlob(served.url, "app", bytesOf(`blob ${at}`, 20_000));
  }
  const to = await newPlace(
    root,
    { options: (more) => s3.options({ ...more, endpoint: proxy.url }) },
    "postgres",
    "s3",
  );
  const kept = join(root, "kept-killed");
  expect(await runProgram(from.folder, ["backup", kept, "--config", from.config])).toMatchObject({ exitCode: 0 });
  proxy.reset();
  const restore = startGroup(to.folder, ["restore", kept, "--config", to.config]);
  while (proxy.count("PUT object") < 8) await Bun.sleep(5);
  await restore.kill();
  expect(await runProgram(to.folder, ["restore", kept, "--config", to.config])).toMatchObject({ exitCode: 0 });
  expect(await runProgram(to.folder, ["check", "--deep", "--config", to.config])).toMatchObject({ exitCode: 0 });
});

test("a backup of a bucket names objects that are missing, and what needs them, and goes on", async () => {
  const from = await newPlace(root, s3, "sqlite", "s3");
  let digest = "";
  {
    await using served = await servedFrom(from);
    digest = await pushBlob(served.url, "app", bytesOf("to be lost", 20_000));
    await pushImage(served.url, "app", "v1");
  }
  const store = await from.store();
  for await (const { key } of store.list()) await store.delete([key]);
  await store.close();
  const kept = join(root, "kept-lost");
  const result = await runProgram(from.folder, ["backup", kept, "--config", from.config]);
  expect(result.exitCode).toBe(1);
  expect(result.stdout).toContain(`missing         ${digest}`);
});
