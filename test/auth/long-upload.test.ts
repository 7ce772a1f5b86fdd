/** A token that expires in the middle of an upload: nothing is lost, and the upload goes on with another one. */
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { user } from "../../src/auth/testing/listed-accounts.ts";
import { bytesOf, digestOf } from "../support/content.ts";
import { RepositoryClient, streamOf } from "../support/repository-client.ts";
import { basic, bearer, startGuarded, tokenFor } from "./support/guarded-registry.ts";
import type { GuardedRegistry, Headers } from "./support/guarded-registry.ts";

setDefaultTimeout(60_000);

const EXPIRY_MS = 310_000;
const CONTENT = bytesOf("long", 300_000);
const [FIRST, SECOND] = [CONTENT.slice(0, 100_000), CONTENT.slice(100_000)];

let guarded: GuardedRegistry;
let repository: RepositoryClient;
beforeEach(async () => {
  guarded = await startGuarded({ accounts: [user("alice", "secret")] });
  repository = new RepositoryClient(guarded.url, "team/app");
});
afterEach(() => guarded[Symbol.asyncDispose]());

async function freshToken(): Promise<Headers> {
  return bearer(await tokenFor(guarded.url, ["repository:team/app:pull,push"], basic("alice", "secret")));
}

/** Begins an upload with its first bytes, by a token that has expired when this resolves. */
async function begin(): Promise<{ readonly location: string; readonly expired: Headers }> {
  const token = await freshToken();
  const opened = await repository.send("POST", "blobs/uploads/", { headers: token });
  const sent = await repository.send("PATCH", opened.headers.get("location") ?? "", { headers: token, body: FIRST });
  expect(sent.status).toBe(202);
  guarded.later(EXPIRY_MS);
  return { location: sent.headers.get("location") ?? "", expired: token };
}

async function expectWhole(): Promise<void> {
  const reply = await repository.get(`blobs/${digestOf(CONTENT)}`, await freshToken());
  expect(Buffer.from(await reply.arrayBuffer()).equals(CONTENT)).toBeTrue();
}

describe("a token that expires between two chunks", () => {
  test("refuses the next one, and nothing of it is kept", async () => {
    const { location, expired } = await begin();
    const refused = await repository.send("PATCH", location, { headers: expired, body: SECOND });
    expect(refused.status).toBe(401);
    expect(refused.headers.get("www-authenticate")).toContain('error="invalid_token"');
    const state = await repository.get(location, await freshToken());
    expect(state.headers.get("range")).toBe(`0-${FIRST.length - 1}`);
  });

  test("lets the same chunk through with another token", async () => {
    const { location, expired } = await begin();
    await repository.send("PATCH", location, { headers: expired, body: SECOND });
    const again = await repository.send("PATCH", location, { headers: await freshToken(), body: SECOND });
    expect(again.status).toBe(202);
    const next = again.headers.get("location") ?? "";
    const closed = await repository.send("PUT", `${next}?digest=${digestOf(CONTENT)}`, { headers: await freshToken() });
    expect(closed.status).toBe(201);
    await expectWhole();
  });

  test("lets the closing PUT be sent again with all its bytes", async () => {
    const { location, expired } = await begin();
    const path = `${location}?digest=${digestOf(CONTENT)}`;
    const refused = await repository.send("PUT", path, { headers: expired, body: SECOND });
    expect(refused.status).toBe(401);
    const closed = await repository.send("PUT", path, { headers: await freshToken(), body: SECOND });
    expect(closed.status).toBe(201);
    await expectWhole();
  });

  test("refuses a stream without a length too, after it has taken all of it: the client gets to see why", async () => {
    const { location, expired } = await begin();
    const refused = await repository.send("PATCH", location, { headers: expired, body: streamOf(SECOND) });
    expect(refused.status).toBe(401);
    expect(await refused.text()).toContain("UNAUTHORIZED");
  });
});

describe("a token that expires while bytes flow", () => {
  test("does not cut them: it is looked at when a request begins", async () => {
    const token = await freshToken();
    const opened = await repository.send("POST", "blobs/uploads/", { headers: token });
    const location = opened.headers.get("location") ?? "";
    let sent = 0;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      async pull(controller) {
        if (sent === 1) {
          await until(async () => (await repository.get(location, await freshToken())).status === 204);
          guarded.later(EXPIRY_MS);
        }
        const piece = [FIRST, SECOND][sent++];
        if (piece) controller.enqueue(piece);
        else controller.close();
      },
    });
    const patched = await repository.send("PATCH", location, { headers: token, body });
    expect(patched.status).toBe(202);
    const next = patched.headers.get("location") ?? "";
    const closed = await repository.send("PUT", `${next}?digest=${digestOf(CONTENT)}`, { headers: await freshToken() });
    expect(closed.status).toBe(201);
    await expectWhole();
  });
});

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}
