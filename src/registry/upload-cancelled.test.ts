/** A client that cancels an upload while another request of his is still writing to it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "bun:test";
import { createRegistry } from "../create-registry.ts";
import { digestOf } from "../oci/digest.ts";

test("a PUT whose upload is cancelled meanwhile, and whose part file is gone, answers that the upload is unknown", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stowage-cancel-"));
  await using registry = await createRegistry({ storage: { folder } });
  const opened = await registry.fetch(new Request("http://registry/v2/app/blobs/uploads/", { method: "POST" }));
  const location = `http://registry${opened.headers.get("location")}`;
  const content = new Uint8Array(1_500_000).fill(7);
  const cancelled = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(content.subarray(0, 1_000_000));
      begun.resolve();
      await cancelled.promise;
      controller.enqueue(content.subarray(1_000_000));
      controller.close();
    },
  });
  const put = registry.fetch(new Request(`${location}?digest=${digestOf(content)}`, { method: "PUT", body }));
  await begun.promise;
  expect((await registry.fetch(new Request(location, { method: "DELETE" }))).status).toBe(204);
  await registry.collect({ leaseMs: 0, graceMs: 0 });
  cancelled.resolve();
  const reply = await put;
  expect(reply.status).toBe(404);
  expect(await reply.json()).toMatchObject({ errors: [{ code: "BLOB_UPLOAD_UNKNOWN" }] });
  await rm(folder, { recursive: true });
});
