/** One upload and two servers that write to it: each byte that counts came from one writer at a time. */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { bytesOf, digestOf } from "../support/content.ts";
import { endLeases, filesBesideDatabase, queryFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { scratchFolder } from "../support/scratch.ts";
import { startListening } from "../support/server-process.ts";
import { useRegistry } from "../support/use-registry.ts";

setDefaultTimeout(60_000);

/** How often two requests are sent at once. */
const TIMES = 10;
/** In the database, and in a file. */
const SIZES = [100, 40_000];

const dataDir = await scratchFolder();
const one = useRegistry({ dataDir });
const other = useRegistry({ dataDir });
const clients = (): Pair<RepositoryClient> => [
  new RepositoryClient(one().url, "uploads"),
  new RepositoryClient(other().url, "uploads"),
];

describe.each(SIZES)("two servers that get a request of %d bytes at once", (size) => {
  test("for the same place: one takes it, and the upload is that one's bytes", async () => {
    for (let time = 0; time < TIMES; time++) {
      const upload = await begin();
      const contents = contentsOf(`place ${time}`, size);
      const headers = { "content-range": `0-${size - 1}` };
      const replies = await atOnce(contents, (client, body) => client.send("PATCH", upload, { headers, body }));
      const [winner] = expectOneOf(replies, 202, [409, 416]);
      await expectEnds(upload, contents[winner]);
    }
  });

  test("without a place: what both take stands one behind the other", async () => {
    for (let time = 0; time < TIMES; time++) {
      const upload = await begin();
      const contents = contentsOf(`stream ${time}`, size);
      const replies = await atOnce(contents, (client, body) => client.send("PATCH", upload, { body }));
      for (const { status } of replies) expect([202, 409]).toContain(status);
      const taken = contents.flatMap((content, at) => {
        const reply = replies[at];
        return reply?.status === 202 ? [{ content, reply }] : [];
      });
      const inOrder = taken.toSorted((a, b) => endOf(a.reply) - endOf(b.reply)).map(({ content }) => content);
      expect(taken.map(({ reply }) => endOf(reply)).toSorted((a, b) => a - b)).toEqual(
        taken.map((_, at) => size * (at + 1) - 1),
      );
      await expectEnds(upload, Buffer.concat(inOrder));
    }
  });

  test("to close it with other bytes each: one does, and the other's blob is nowhere", async () => {
    for (let time = 0; time < TIMES; time++) {
      const upload = await begin();
      const contents = contentsOf(`close ${time}`, size);
      const replies = await atOnce(contents, (client, body) =>
        client.send("PUT", `${upload}?digest=${digestOf(body)}`, { body }),
      );
      const [winner, loser] = expectOneOf(replies, 201, [404, 409]);
      await expectBlob(contents[winner]);
      for (const client of clients()) {
        expect((await client.head(`blobs/${digestOf(contents[loser])}`)).status).toBe(404);
      }
    }
  });
});

for (const last of [0, 1] as const) {
  test(`chunks that go to the servers in turn make one blob, closed by the ${last === 0 ? "first" : "second"}`, async () => {
    const content = bytesOf(`turns ${last}`, 300_000);
    const upload = await begin();
    let start = 0;
    for (const [server, end] of [
      [0, 100], // in the database
      [1, 40_000], // and from here on in a file
      [0, 90_000],
      [0, 120_000],
      [1, 160_000],
      [0, 200_000],
      [1, 240_000],
    ] as const) {
      const chunk = { headers: { "content-range": `${start}-${end - 1}` }, body: content.slice(start, end) };
      const reply = await clients()[server].send("PATCH", upload, chunk);
      expect([reply.status, endOf(reply)]).toEqual([202, end - 1]);
      start = end;
    }
    const rest = { body: content.slice(start) };
    expect((await clients()[last].send("PUT", `${upload}?digest=${digestOf(content)}`, rest)).status).toBe(201);
    await expectBlob(content);
  });
}

test("while one server takes bytes the other refuses with 409, and goes on when they are taken", async () => {
  const [here, there] = clients();
  const upload = await begin();
  const [first, second] = contentsOf("held", 40_000);
  const third = bytesOf("held up", 40_000);
  const body = new OpenBody();
  const writing = here.send("PATCH", upload, { body: body.stream });
  body.send(first);
  await claimed();
  expect((await there.send("PATCH", upload, { body: third })).status).toBe(409);
  expect((await there.send("PUT", `${upload}?digest=${digestOf(third)}`, { body: third })).status).toBe(409);
  body.send(second);
  body.end();
  expect((await writing).status).toBe(202);
  expect((await there.send("PATCH", upload, { body: third })).status).toBe(202);
  await expectEnds(upload, Buffer.concat([first, second, third]));
});

test("an upload that is cancelled through one server while the other takes bytes is gone", async () => {
  const [here, there] = clients();
  const upload = await begin();
  const body = new OpenBody();
  const writing = here.send("PATCH", upload, { body: body.stream });
  body.send(bytesOf("cancelled", 40_000));
  await claimed();
  expect((await there.delete(upload)).status).toBe(204);
  body.end();
  expect((await writing).status).toBe(404);
  for (const client of clients()) expect((await client.get(upload)).status).toBe(404);
  queryFolder(dataDir, "update trash set after = 1"); // as it comes by itself after a minute
  expect(await runProgram(dataDir, ["gc"])).toMatchObject({ exitCode: 0, stderr: "" });
  const id = upload.slice(upload.lastIndexOf("/") + 1);
  expect((await filesBesideDatabase(dataDir)).filter((path) => path.includes(id))).toEqual([]);
});

// The process of the first server sleeps as a whole, as one does whose machine is suspended.
describe.each([0, 40_000])("an upload with %d bytes whose server sleeps", (recorded) => {
  for (const wakes of ["before", "after"] as const) {
    test(`goes on through the other, and is not harmed when the first wakes up ${wakes} its end`, async () => {
      const [here, there] = clients();
      const content = bytesOf(`asleep ${recorded} ${wakes}`, 300_000);
      const upload = await begin();
      if (recorded > 0) {
        expect((await here.send("PATCH", upload, { body: content.slice(0, recorded) })).status).toBe(202);
      }
      const body = new OpenBody();
      const writing = here.send("PATCH", upload, { body: body.stream });
      body.send(bytesOf("lost", 100_000));
      await claimed();
      const wakeUp = async (): Promise<void> => {
        process.kill(one().pid, "SIGCONT");
        body.send(bytesOf("late", 600_000)); // more than it writes in one piece
        body.end();
        expect((await writing).status).toBe(wakes === "before" ? 409 : 404);
      };
      process.kill(one().pid, "SIGSTOP");
      try {
        expect((await there.send("PATCH", upload, { body: content.slice(recorded, 200_000) })).status).toBe(409);
        using _ended = endLeases(dataDir);
        const chunk = { headers: { "content-range": `${recorded}-199999` }, body: content.slice(recorded, 200_000) };
        expect((await there.send("PATCH", upload, chunk)).status).toBe(202);
        if (wakes === "before") await wakeUp();
        const rest = { body: content.slice(200_000) };
        expect((await there.send("PUT", `${upload}?digest=${digestOf(content)}`, rest)).status).toBe(201);
        if (wakes === "after") await wakeUp();
      } finally {
        process.kill(one().pid, "SIGCONT");
      }
      await expectBlob(content);
    });
  }
});

describe.each([0, 40_000])("an upload with %d bytes whose server is killed in the middle of a request", (recorded) => {
  for (const method of ["PATCH", "PUT"]) {
    test(`goes on through another server at once, after a ${method}`, async () => {
      const content = bytesOf(`killed ${recorded} ${method}`, 300_000);
      const killed = await startListening({ dataDir });
      const upload = await begin();
      const client = new RepositoryClient(killed.url, "uploads");
      if (recorded > 0) {
        expect((await client.send("PATCH", upload, { body: content.slice(0, recorded) })).status).toBe(202);
      }
      const body = new OpenBody();
      const query = method === "PUT" ? `?digest=${digestOf(content)}` : "";
      const writing = client.send(method, `${upload}${query}`, { body: body.stream }).catch((error: unknown) => error);
      body.send(bytesOf("lost", 600_000));
      await claimed();
      killed.signal("SIGKILL");
      await killed.ended;
      await writing;

      const [here, there] = clients();
      const where = await here.get(upload);
      expect([where.status, where.headers.get("range")]).toEqual([204, `0-${Math.max(0, recorded - 1)}`]);
      const chunk = { headers: { "content-range": `${recorded}-199999` }, body: content.slice(recorded, 200_000) };
      expect((await here.send("PATCH", upload, chunk)).status).toBe(202);
      const rest = { body: content.slice(200_000) };
      expect((await there.send("PUT", `${upload}?digest=${digestOf(content)}`, rest)).status).toBe(201);
      await expectBlob(content);
    });
  }
});

describe.each([0, 40_000])("an upload with %d bytes and a connection that is half open", (recorded) => {
  for (const [which, newcomer] of [
    ["the same server", 0],
    ["another server", 1],
  ] as const) {
    test(`goes on through ${which} when nothing has come for some seconds`, async () => {
      const content = bytesOf(`half open ${recorded} ${newcomer}`, 300_000);
      const upload = await begin();
      if (recorded > 0) {
        expect((await clients()[0].send("PATCH", upload, { body: content.slice(0, recorded) })).status).toBe(202);
      }
      const body = new OpenBody();
      const halfOpen = clients()[0].send("PATCH", upload, { body: body.stream });
      body.send(bytesOf("never counted", 100_000));
      await claimed();
      const chunk = { headers: { "content-range": `${recorded}-199999` }, body: content.slice(recorded, 200_000) };
      const send = (): Promise<Response> => clients()[newcomer].send("PATCH", upload, chunk);
      let reply = await send();
      expect(reply.status).toBe(409); // a client that stalls for a moment keeps its upload
      while (reply.status === 409) {
        await Bun.sleep(100);
        reply = await send();
      }
      expect([reply.status, endOf(reply)]).toEqual([202, 199_999]);
      body.send(bytesOf("too late", 600_000));
      body.end();
      expect((await halfOpen).status).toBe(409);
      const rest = { body: content.slice(200_000) };
      expect((await clients()[1].send("PUT", `${upload}?digest=${digestOf(content)}`, rest)).status).toBe(201);
      await expectBlob(content);
    });
  }
});

test("nothing of all this was a fault of the servers", () => {
  for (const server of [one(), other()]) expect(server.output()).not.toMatch(/"level":"(?:error|fatal)"/);
});

/** Of the one server and of the other. */
type Pair<Item> = readonly [Item, Item];

function contentsOf(seed: string, size: number): Pair<Uint8Array<ArrayBuffer>> {
  return [bytesOf(`${seed} one`, size), bytesOf(`${seed} other`, size)];
}

/** Opens an upload through the first server and gives its path. */
async function begin(): Promise<string> {
  const reply = await clients()[0].send("POST", "blobs/uploads/");
  expect(reply.status).toBe(202);
  return new URL(reply.headers.get("location") ?? "", reply.url).pathname;
}

/** Sends the one content through the one server and the other through the other. */
function atOnce(
  contents: Pair<Uint8Array<ArrayBuffer>>,
  send: (client: RepositoryClient, body: Uint8Array<ArrayBuffer>) => Promise<Response>,
): Promise<Pair<Response>> {
  const [here, there] = clients();
  return Promise.all([send(here, contents[0]), send(there, contents[1])]);
}

/** Which of two replies has the one status, and which has one of those of a refusal. */
function expectOneOf(replies: Pair<Response>, won: number, lost: readonly number[]): Pair<0 | 1> {
  const order: Pair<0 | 1> = replies[0].status === won ? [0, 1] : [1, 0];
  expect(replies[order[0]].status).toBe(won);
  expect(lost).toContain(replies[order[1]].status);
  return order;
}

/** The last byte that counts, as a reply says. */
function endOf(reply: Response): number {
  return Number(/^0-(\d+)$/.exec(reply.headers.get("range") ?? "")?.[1]);
}

/** Closes the upload through the second server: it holds these bytes. */
async function expectEnds(upload: string, content: Uint8Array): Promise<void> {
  const closed = await clients()[1].send("PUT", `${upload}?digest=${digestOf(content)}`);
  expect({ status: closed.status, text: await closed.text() }).toEqual({ status: 201, text: "" });
  await expectBlob(content);
}

async function expectBlob(content: Uint8Array): Promise<void> {
  for (const client of clients()) {
    const reply = await client.get(`blobs/${digestOf(content)}`);
    expect(reply.status).toBe(200);
    expect(digestOf(await reply.bytes())).toBe(digestOf(content));
  }
}

/** Resolves when a writer holds an upload. */
async function claimed(): Promise<void> {
  while (queryFolder(dataDir, "select id from upload where claimed_by is not null").length === 0) await Bun.sleep(2);
}

/** The body of a request that goes on until it is told to end. */
class OpenBody {
  readonly stream: ReadableStream<Uint8Array<ArrayBuffer>>;
  #controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>> | undefined;

  constructor() {
    this.stream = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
      },
    });
  }

  send(bytes: Uint8Array<ArrayBuffer>): void {
    this.#controller?.enqueue(bytes);
  }

  end(): void {
    this.#controller?.close();
  }
}
