/** Sends mutated requests over many connections at once and looks at every answer. */
import { connect } from "node:net";
import { Random } from "../support/random.ts";
import { ROOT } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { mutated } from "./mutations.ts";
import { repliesIn } from "./replies.ts";
import type { FuzzReply } from "./replies.ts";
import { PLAYGROUND, validRequest } from "./valid-requests.ts";

export interface FuzzOptions {
  readonly seed: number;
  /** Ends when so many requests were sent … */
  readonly requests: number;
  /** … or when so many seconds are over. */
  readonly seconds: number;
  /** Called now and then. */
  readonly onProgress?: (sent: number) => void;
}

export interface FuzzReport {
  readonly sent: number;
  /** How often each status came; 0 for a connection that was closed without one. */
  readonly statuses: ReadonlyMap<number, number>;
  /** What broke a rule, with the bytes that did it. */
  readonly broken: readonly string[];
}

const CONNECTIONS = 24;
/** Requests that go down one connection before an answer is read. */
const PIPELINE = 4;
/** A request whose body is announced longer than it is gets no answer: that is not waited for long. */
const SILENCE_MS = 250;
const MAX_BROKEN = 20;
const MAX_SESSIONS = 50;

export async function fuzz(registry: RunningRegistry, options: FuzzOptions): Promise<FuzzReport> {
  const statuses = new Map<number, number>();
  const broken: string[] = [];
  const sessions: string[] = [];
  const deadline = performance.now() + options.seconds * 1000;
  const secrets = [registry.dataDir, ROOT, "node_modules", "node:internal", "SQLITE_", "at async "];
  let sent = 0;
  let shownAt = performance.now();

  const worker = async (random: Random): Promise<void> => {
    while (sent < options.requests && performance.now() < deadline && broken.length < MAX_BROKEN) {
      const { bytes, count, hasHead } = batch(random, sessions, `127.0.0.1:${registry.port}`);
      sent += count;
      const text = await exchange(registry.port, bytes, random);
      if (performance.now() - shownAt > 5000) {
        shownAt = performance.now();
        options.onProgress?.(sent);
      }
      const { replies, rest } = repliesIn(text);
      if (text === "") statuses.set(0, (statuses.get(0) ?? 0) + 1);
      for (const reply of replies) {
        statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
        remember(reply, sessions, random);
      }
      const wrong = [
        ...replies.flatMap((reply) => wrongWith(reply)),
        ...secrets.filter((secret) => text.includes(secret)).map((secret) => `it tells of ${secret}`),
        ...(replies.length > count + SMUGGLED ? [`${replies.length} answers to ${count} requests`] : []),
        ...(rest !== "" && !hasHead && !rest.startsWith("HTTP/1.1 ")
          ? [`bytes between answers: ${rest.slice(0, 200)}`]
          : []),
      ];
      for (const what of wrong)
        broken.push(`${what}\n${bytes.toString("latin1").slice(0, 3000)}\n=> ${text.slice(0, 1000)}`);
    }
  };
  const random = new Random(options.seed);
  await Promise.all(Array.from({ length: CONNECTIONS }, () => worker(random.fork())));
  return { sent, statuses, broken };
}

/** A broken request may hold whole requests in what was meant as its body: those are answered too. */
const SMUGGLED = 4;

/** What goes down one connection: some requests in a row, or one HEAD, whose answer does not say where it ends. */
function batch(
  random: Random,
  sessions: readonly string[],
  host: string,
): { readonly bytes: Buffer; readonly count: number; readonly hasHead: boolean } {
  const pieces: Buffer[] = [];
  for (let left = random.between(0, PIPELINE - 1); left >= 0; left--) {
    const valid = validRequest(random, sessions);
    const open = left === 0 ? valid : { ...valid, headers: { connection: "keep-alive", ...valid.headers } };
    const { bytes, mutant } = mutated(open, random, host);
    const isHead = mutant.method === "HEAD";
    if (isHead && pieces.length > 0) continue;
    pieces.push(bytes);
    if (isHead) return { bytes, count: 1, hasHead: true };
  }
  return { bytes: Buffer.concat(pieces), count: pieces.length, hasHead: false };
}

/** Sends the bytes, in one piece or in several, and gives all that came back until silence or the end. */
function exchange(port: number, bytes: Buffer, random: Random): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const parts: Buffer[] = [];
  const cut = random.chance(0.2) ? random.between(0, bytes.length) : bytes.length;
  const hangsUp = random.chance(0.02);
  const socket = connect(port, "127.0.0.1", () => {
    socket.write(bytes.subarray(0, cut));
    if (hangsUp) socket.destroy();
    else if (cut < bytes.length) setTimeout(() => socket.write(bytes.subarray(cut)), 2);
  });
  socket.setTimeout(SILENCE_MS, () => socket.destroy());
  socket.on("data", (part: Buffer) => parts.push(part));
  socket.on("end", () => socket.destroy());
  socket.on("error", () => socket.destroy());
  socket.on("close", () => resolve(Buffer.concat(parts).toString("latin1")));
  return promise;
}

/** Uploads that were begun in the playground are gone on with by later requests. */
function remember({ status, headers }: FuzzReply, sessions: string[], random: Random): void {
  const location = headers["location"];
  if (status !== 202 || !location?.startsWith(`/v2/${PLAYGROUND}/blobs/uploads/`)) return;
  if (sessions.length < MAX_SESSIONS) sessions.push(location);
  else sessions[random.between(0, MAX_SESSIONS - 1)] = location;
}

function wrongWith({ status, headers, body }: FuzzReply): readonly string[] {
  if (status === 505 && body === "") return []; // the parser: "HTTP Version Not Supported"
  if (status >= 500) return [`status ${status}`];
  if (status < 400 || body === "") return [];
  if (headers["content-type"] !== "application/json") return [`a refusal of type ${headers["content-type"]}`];
  try {
    const { errors } = JSON.parse(Buffer.from(body, "latin1").toString("utf8")) as {
      errors: { code: string; message: string }[];
    };
    const isGood = errors.length > 0 && errors.every(({ code, message }) => /^[A-Z_]+$/.test(code) && message !== "");
    return isGood ? [] : ["a refusal without a code or words"];
  } catch {
    return ["a refusal that is no error body"];
  }
}
