/** Serves requests with `Bun.serve`: the only place that knows Bun's server. */
import http from "node:http";
import { chmodSync, existsSync, lstatSync, unlinkSync } from "node:fs";
import { connect, isIP } from "node:net";
import { dirname } from "node:path";
import type { Server } from "bun";
import type { FileLocation } from "../../lib/byte-location.ts";
import { systemClock } from "../../lib/clock.ts";
import { fileErrorReason } from "../../lib/file-error.ts";
import { customerNetwork } from "../../lib/network.ts";
import { OciError } from "../../oci/error.ts";
import { Answered } from "../../observe/access-log.ts";
import type { Logs } from "../../observe/logs.ts";
import { openedOrRefused, refusalReply, unreadableReply } from "../http/error-reply.ts";
import { CommonHeaders } from "../http/common-headers.ts";
import type { Handler } from "../http/handler.ts";
import { FileOpenings } from "./file-openings.ts";
import { LIMITS } from "../http/limits.ts";
import { gathered, isShortStream, isUnopened, locationIn, streamFile, toResponse } from "../http/reply.ts";
import type { OpenFile, Reply } from "../http/reply.ts";
import { PageCacheReader } from "./page-cache-reader.ts";
import { SendfileLimit } from "./sendfile-limit.ts";
import { Sends } from "./sends.ts";
import type { Exchange, Peer, Send, SendLimits } from "./sends.ts";
import { pathOf, targetOf } from "../http/request-target.ts";
import { expiryWarning, readTls, watchTls } from "../http/tls.ts";
import type { TlsMaterial, TlsOptions } from "../http/tls.ts";

/** Where to listen: a port of a host, or a Unix socket. */
export type Address =
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

export interface Listening {
  /** As a client writes it, with the port that was really taken; a path for a Unix socket. */
  readonly url: string;
  /** The same for a program. */
  readonly address: Address;
  /**
   * Takes no new connection and resolves when the running requests are answered, or after a bound. Gives how many were
   * not.
   */
  stop(): Promise<number>;
}

/** The address cannot be listened on; the message says why and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

export interface WireOptions {
  /** In the clear when absent. */
  readonly tls?: TlsOptions | undefined;
  /** Whether HTTP/2 is spoken with clients that offer it: while TLS is agreed on, or in the clear by its first line. */
  readonly http2?: boolean;
  /** Whether other processes may listen on the port too, and get their share of its connections. */
  readonly sharesPort?: boolean;
  /** What every reply has, for those that are made here: of a blob whose file cannot be opened. */
  readonly commonHeaders?: CommonHeaders;
  /** Bounds of what is sent at once; those of `LIMITS` when absent. */
  readonly sends?: SendLimits;
  /** Milliseconds that running requests get to finish at a stop; those of `LIMITS` when absent. */
  readonly stopMs?: number | undefined;
}

/** Rejects with `ListenError` when the address is taken or not ours, and with `TlsError`. */
export async function listen(
  address: Address,
  handle: Handler,
  logs: Logs,
  wire: WireOptions = {},
): Promise<Listening> {
  (http as { maxHeaderSize: number }).maxHeaderSize = LIMITS.maxHeaderBytes; // Bun reads it when a server starts
  if (wire.tls) return await listenSecurely(address, handle, logs, { ...wire, tls: wire.tls });
  if (address.kind === "unix") await clearSocket(address.path);
  const { http2, commonHeaders = new CommonHeaders(), sharesPort: reusePort, stopMs } = wire;
  const sendfileLimit = new SendfileLimit();
  const sends = new Sends(wire.sends ?? LIMITS.sends, (areSent) => (sendfileLimit.isSending = areSent));
  const pageCache = new PageCacheReader();
  const edge = { handle, logs, sends, pageCache, sendfileLimit, commonHeaders };
  const server = serve(address, edge, { http2, reusePort });
  if (address.kind === "unix") chmodSync(address.path, 0o660);
  const taken = takenBy(server, address);
  return {
    url: urlOf(taken),
    address: taken,
    async stop() {
      using _limit = sendfileLimit;
      using _files = pageCache;
      return await stop([server], sends, stopMs);
    },
  };
}

/**
 * A server of Bun keeps the certificate that it was started with. So a new one takes the same port over, and the old one
 * finishes what it has begun: both hold the port for a moment, which takes `reusePort`.
 */
async function listenSecurely(
  address: Address,
  handle: Handler,
  logs: Logs,
  {
    tls,
    http2,
    commonHeaders = new CommonHeaders(),
    sharesPort = false,
    sends: bounds = LIMITS.sends,
    stopMs,
  }: WireOptions & { readonly tls: TlsOptions },
): Promise<Listening> {
  const { log } = logs;
  if (address.kind === "unix") throw new ListenError(`${address.path} is a Unix socket, where TLS is not served`);
  const material = await readTls(tls);
  const warn = (served: TlsMaterial): void => {
    const warning = expiryWarning(served, tls, systemClock.now());
    if (warning !== undefined) log.warn(warning);
  };
  if (!sharesPort) warn(material);
  const sends = new Sends(bounds);
  const pageCache = new PageCacheReader();
  const edge = { handle, logs, sends, pageCache, commonHeaders };
  const serveWith = (served: TlsMaterial, port: number): Server<undefined> =>
    serve({ ...address, port }, edge, { tls: served, http2, reusePort: true });
  // No other server may hold the port: servers that share it would take each other's requests.
  if (address.port !== 0 && !sharesPort) await serve(address, edge, {}).stop(true);
  let current = serveWith(material, address.port);
  const ending = new Set<Server<undefined>>();
  const taken = takenBy(current, address);
  const replace = (changed: TlsMaterial): void => {
    const old = current;
    current = serveWith(changed, taken.port);
    ending.add(old);
    void old.stop().then(() => ending.delete(old));
    warn(changed);
    log.info({ certificate: tls.certificate }, "the certificate was read again");
  };
  const watching = watchTls(tls, material, LIMITS.certificateMs, replace, log);
  return {
    url: urlOf(taken).replace(/^http:/, "https:"),
    address: taken,
    async stop() {
      using _files = pageCache;
      watching[Symbol.dispose]();
      return await stop([current, ...ending], sends, stopMs);
    },
  };
}

interface ServeOptions {
  readonly tls?: TlsMaterial;
  readonly http2?: boolean | undefined;
  /** Without it a second server is refused, instead of taking every other request of the first. */
  readonly reusePort?: boolean | undefined;
}

/** What answers requests, whichever server they come through. */
interface Edge {
  readonly handle: Handler;
  readonly logs: Logs;
  readonly sends: Sends;
  readonly pageCache: PageCacheReader;
  /** Absent over TLS, where the kernel sends no files. */
  readonly sendfileLimit?: SendfileLimit;
  /** What every reply has, for those that are made here. */
  readonly commonHeaders: CommonHeaders;
}

function serve(
  address: Address,
  edge: Edge,
  { tls, http2 = false, reusePort = false }: ServeOptions,
): Server<undefined> {
  const { log } = edge.logs;
  const openings = new FileOpenings();
  const blobHeaders = edge.commonHeaders.at("/v2/"); // blobs are the only files that are sent
  // Elsewhere the kernel copies files to the socket.
  const buffersFiles = http2 || tls !== undefined;
  const place = address.kind === "unix" ? { unix: address.path } : { hostname: address.hostname, port: address.port };
  const options = {
    ...place,
    maxRequestBodySize: LIMITS.maxBodyBytes,
    idleTimeout: LIMITS.idleSeconds,
    development: false,
    reusePort, // said aloud: outside of development Bun would share the port
    http2,
    ...(tls && { tls }),
    fetch: (request: Request, server: Server<undefined>) => answer(request, server, edge, openings, buffersFiles),
    error(error: unknown): Response {
      const reply = unreadableReply(error, log, blobHeaders);
      openings.fail((error as NodeJS.ErrnoException).path, reply.status);
      return toResponse(reply, "GET", sendFile);
    },
  };
  try {
    return Bun.serve(options as Parameters<typeof Bun.serve<undefined>>[0]);
  } catch (error) {
    throw new ListenError(explain(address, error), { cause: error });
  }
}

function answer(
  request: Request,
  server: Server<undefined>,
  { handle, logs: { access, log: errorLog }, sends, sendfileLimit, pageCache, commonHeaders }: Edge,
  openings: FileOpenings,
  buffersFiles: boolean,
): Response | Promise<Response> {
  const started = performance.now();
  const client = server.requestIP(request); // null on a Unix socket
  // Once a request is all here, silence on its connection is ours: a large blob takes long to become durable.
  const make = (): Reply | Promise<Reply> => handle(request, () => server.timeout(request, 0), client?.address);
  const receiving = client && sendsBody(request) ? sends.receiving(peerOf(client)) : undefined;
  const reply = make();
  if (!(reply instanceof Promise)) return send(reply);
  return reply.then((made) => {
    receiving?.[Symbol.dispose]();
    server.timeout(request, LIMITS.idleSeconds);
    return send(made);
  });

  function send(made: Reply): Response | Promise<Response> {
    if (request.method !== "HEAD" && isShortStream(made)) return gathered(made).then(send);
    const bytes = request.method === "HEAD" ? undefined : bytesInMemory(made, buffersFiles);
    if (bytes === undefined) return start(made);
    const isFile = sendfileLimit !== undefined && isLargeFile(made);
    const starting = isFile ? sendfileLimit.start() : undefined;
    if (starting) return sendAfter(starting, made);
    if (!client) {
      if (isFile) sends.beginUntold(exchangeOnSocket(server));
      return start(made);
    }
    const exchange: Exchange = {
      isOpen: () => server.requestIP(request) !== null,
      closeAfter: (seconds) => server.timeout(request, seconds),
    };
    const begun = sends.begin(exchange, peerOf(client, made.address), bytes, isFile);
    if (!(begun instanceof Promise)) return start(made);
    server.timeout(request, LIMITS.sends.stallSeconds); // while others of its connection are not taken
    return begun.then(sendLater);
  }

  /** Apart from `send`: what waits for its turn shares the variables of `send` that a function keeps, and would keep the body. */
  function sendAfter(starting: Promise<void>, made: Reply): Promise<Response> {
    return starting.then(() => send(made));
  }

  /** Runs the handler again, because a waiting reply would hold its body. */
  async function sendLater(begun: Send | undefined): Promise<Response> {
    if (!begun) return finish(tooMuchUnread(commonHeaders.at(pathOf(targetOf(request.url)))));
    const anew = await make();
    const made = isShortStream(anew) ? await gathered(anew) : anew;
    sends.resize(begun, bytesInMemory(made, buffersFiles) ?? 0);
    return await start(made);
  }

  /** A stream is opened at last: one that waits for its turn would hold a connection to the store. */
  function start(made: Reply): Response | Promise<Response> {
    if (request.method === "HEAD" || !isUnopened(made)) return finish(made);
    const headers = commonHeaders.at(pathOf(targetOf(request.url)));
    return openedOrRefused(made, request.method, errorLog, headers).then(finish);
  }

  function finish(made: Reply): Response {
    const file = request.method === "HEAD" ? undefined : fileIn(made);
    const bytes = file && pageCache.read(file);
    const open = repeatsRange(request) ? streamFile : sendFile;
    if (access && file && !bytes && open === sendFile) openings.add(file.path, (failed) => log(made, failed));
    else if (access) log(made, undefined);
    return toResponse(bytes ? { ...made, body: { kind: "bytes", bytes } } : made, request.method, open);
  }

  /** `failed` is what is answered instead, because the file of the reply could not be opened. */
  function log(made: Reply, failed: number | undefined): void {
    access?.({
      answered: failed === undefined ? answeredBy(made, request) : answeredAs(made, failed, 0, request),
      remoteAddress: made.address,
      user: made.user,
      userAgent: request.headers.get("user-agent"),
      received: made.received,
      requestId: made.requestId,
      traceId: made.traceId,
      duration: Math.round((performance.now() - started) * 1000) / 1000,
    });
  }
}

/** What the access log says of a reply; of one from the cache it is made once. */
function answeredBy(reply: Reply, request: Request): Answered {
  const { status, headers, shared } = reply;
  const method = request.method === "HEAD" ? "HEAD" : "GET";
  const written = method === "HEAD" ? 0 : Number(headers["content-length"] ?? 0);
  if (!shared) return answeredAs(reply, status, written, request);
  return (shared.answered[method] ??= answeredAs(reply, status, written, request));
}

function answeredAs(
  { handler, repository }: Reply,
  status: number,
  written: number,
  { method, url }: Request,
): Answered {
  return new Answered({ method, uri: targetOf(url), status, written, handler, repository });
}

/** The file that the runtime opens for a reply. */
function fileIn(reply: Reply): FileLocation | undefined {
  const location = locationIn(reply);
  return location?.kind === "file" ? location : undefined;
}

/** Bytes of a file that Bun reads before the client takes them, and from which on it lets the kernel send the file. */
const FILE_BUFFER_BYTES = 256 * 1024;
const SENDFILE_BYTES = 1024 * 1024;

/** Bytes that a stream may hold: what it was made from, and two pieces of it. */
const STREAM_BYTES = 512 * 1024;

/** Bytes of a reply that may wait in memory until the client takes them; undefined when they are too few to count. */
function bytesInMemory({ body }: Reply, buffersFiles: boolean): number | undefined {
  if (body === undefined || typeof body === "string") return undefined;
  if (body instanceof Blob) return body.size > LIMITS.smallResponseBytes ? body.size : undefined;
  if (body.kind === "stream") return STREAM_BYTES;
  const size = body.kind === "file" ? sizeOf(body) : body.bytes.length;
  if (size <= LIMITS.smallResponseBytes) return undefined;
  if (body.kind === "bytes") return size;
  return !buffersFiles && size >= SENDFILE_BYTES ? 0 : Math.min(size, FILE_BUFFER_BYTES);
}

/** Whether the kernel sends the body from a file, where it can. */
function isLargeFile(reply: Reply): boolean {
  const file = fileIn(reply);
  return file !== undefined && sizeOf(file) >= SENDFILE_BYTES;
}

function sizeOf({ range }: FileLocation): number {
  return range.end - range.start + 1;
}

/** Stands for all that come through a Unix socket: the runtime tells nothing of their connections, and what they send is not limited. */
function exchangeOnSocket(server: Server<undefined>): Exchange {
  return { isOpen: () => server.pendingRequests > 0, closeAfter: () => undefined };
}

function sendsBody({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

function peerOf({ address, port }: { readonly address: string; readonly port: number }, client = address): Peer {
  return { address: customerNetwork(client), connection: `${address} ${port}` };
}

function tooMuchUnread(headers: Readonly<Record<string, string>>): Reply {
  const message = "too many unread responses on this connection or to this address: read them, then retry";
  return refusalReply(new OciError("TOOMANYREQUESTS", { message, retryAfterSeconds: 1 }), headers);
}

/** The kernel copies the file to the socket. */
const sendFile: OpenFile = ({ path, range }) => Bun.file(path).slice(range.start, range.end + 1);

/**
 * Given a file for an answer of status 200, Bun looks at `Range` by itself. It agrees with us about what to ignore but for
 * a header that came twice: there it sees the first one only, and would cut the file that we send whole.
 */
function repeatsRange(request: Request): boolean {
  return request.headers.get("range")?.includes(", bytes=") ?? false;
}

async function stop(
  servers: readonly Server<undefined>[],
  sends: Sends,
  stopMs: number = LIMITS.stopMs,
): Promise<number> {
  const deadline = performance.now() + stopMs;
  const running = (): number => servers.reduce((sum, { pendingRequests }) => sum + pendingRequests, 0);
  for (const server of servers) void server.stop();
  sends[Symbol.dispose]();
  while (running() > 0 && performance.now() < deadline) await Bun.sleep(20);
  const left = running();
  await Promise.all(servers.map((server) => server.stop(true)));
  return left;
}

/** The address with the port that was really taken. */
function takenBy<Wanted extends Address>(server: Server<undefined>, wanted: Wanted): Wanted {
  return wanted.kind === "tcp" ? { ...wanted, port: server.port ?? wanted.port } : wanted;
}

function urlOf(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const { hostname, port } = address;
  return `http://${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
}

/** Removes a stale socket; throws when another program listens on it. */
async function clearSocket(path: string): Promise<void> {
  if (!existsSync(path)) return;
  if (!lstatSync(path).isSocket()) throw new ListenError(`${path} is there and is not a socket: choose another path`);
  const answered = await new Promise<boolean>((resolve) => {
    const probe = connect(path, () => {
      probe.destroy();
      resolve(true);
    });
    probe.on("error", () => resolve(false));
  });
  if (answered) throw new ListenError(`another program listens on ${path}: stop it, or choose another address`);
  unlinkSync(path);
}

function explain(address: Address, error: unknown): string {
  const { code } = error as { code?: string };
  if (address.kind === "unix")
    return `no socket can be made at ${address.path}: ${socketErrorReason(address.path, error)}`;
  const { hostname, port } = address;
  const where = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  switch (code) {
    case "EADDRINUSE":
      return `${where} is in use: stop the program that listens there, or choose another address`;
    case "EACCES":
    case "EPERM":
      return `listening on ${where} is not allowed: choose a port above 1023, or give the program CAP_NET_BIND_SERVICE`;
    case "EADDRNOTAVAIL":
      return `${where} is not an address of this machine: listen on 127.0.0.1 or 0.0.0.0`;
    default:
      return isIP(hostname) === 0
        ? `${hostname} is not a name of this machine: listen on 127.0.0.1, or on 0.0.0.0 for every address`
        : `it is not possible to listen on ${where} (${code ?? String(error)}): choose another address`;
  }
}

function socketErrorReason(path: string, error: unknown): string {
  const folder = dirname(path);
  if (!existsSync(folder)) return `there is no folder ${folder}`;
  if ((error as { code?: string }).code === "EADDRINUSE") return "another program listens there";
  return fileErrorReason(error);
}
