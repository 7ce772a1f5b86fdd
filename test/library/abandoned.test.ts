/** What a program that embeds the registry leaves in the middle stays open nowhere, and fails outside of no call. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../support/registry.ts";
import { scratchFolder } from "../support/scratch.ts";

setDefaultTimeout(120_000);

/** Abandons many of each, and waits until as many files are open as before. */
const PROGRAM = `
  import { readdirSync } from "node:fs";
  import { createRegistry, digestOf, repositoryName } from ${JSON.stringify(join(ROOT, "src/index.ts"))};

  process.on("uncaughtException", (error) => console.log("failed outside of any call: " + error));
  const registry = await createRegistry({ storage: { folder: process.argv[1] }, limits: { silenceMs: 100 } });
  const app = registry.namespace.repository(repositoryName("app"));
  const content = new Uint8Array(2_000_000).fill(5);
  const digest = digestOf(content);
  await (await app.blobs.upload()).finish([digest], (async function* () { yield content; })());
  // Makes the file by which other processes know this one.
  await (await app.blobs.upload()).append((async function* () { yield content; })());

  const abandon = {
    async readers() {
      await (await app.blobs.find(digest)).read()[Symbol.asyncIterator]().next();
    },
    async responses() {
      const response = await registry.fetch(new Request("http://registry/v2/app/blobs/" + digest));
      await response.body.getReader().read();
    },
    async uploads() {
      const begun = await registry.fetch(new Request("http://registry/v2/app/blobs/uploads/", { method: "POST" }));
      const body = new ReadableStream({ start: (controller) => controller.enqueue(content) });
      void registry.fetch(new Request("http://registry" + begun.headers.get("location"), { method: "PATCH", body }));
      await Bun.sleep(10);
    },
  };
  const openFiles = () => readdirSync("/proc/self/fd").length;
  for (const [what, leave] of Object.entries(abandon)) {
    const before = openFiles();
    for (let count = 0; count < 20; count++) await leave();
    while (openFiles() > before) {
      Bun.gc(true);
      await Bun.sleep(50);
    }
    console.log("closed all " + what);
  }
  await abandon.uploads();
  await registry.close();
  console.log("closed the registry");
`;

test("readers, responses and uploads whose body never ends are closed, and so is the registry beside them", async () => {
  const child = Bun.spawn([process.execPath, "-e", PROGRAM, await scratchFolder()], { stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  expect({ stdout, stderr }).toEqual({
    stdout: "closed all readers\nclosed all responses\nclosed all uploads\nclosed the registry\n",
    stderr: "",
  });
});
