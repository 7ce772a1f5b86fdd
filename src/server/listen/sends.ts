/** Responses that are being sent: how many of their bytes wait in memory, and which of them have stalled. */

/** Bounds of what is sent at once. */
export interface SendLimits {
  /** Bytes that wait in memory for one connection, at most … */
  readonly connectionBytes: number;
  /** … and for all connections of one address. */
  readonly addressBytes: number;
  /** Milliseconds that a response waits for room, at most. */
  readonly waitMs: number;
  /** Seconds after which a connection is closed that takes nothing of what is sent to it. */
  readonly stallSeconds: number;
}

/** The other end of a connection. */
export interface Peer {
  /** The client's address, as far as the connection and trusted proxies tell. */
  readonly address: string;
  /** Names the connection, as no other that is open. */
  readonly connection: string;
}

const UNTOLD: Peer = { address: "", connection: "" };

/** A request and its response, as the server that holds their connection knows them. */
export interface Exchange {
  /** False once the response was sent to its last byte, or the connection was closed. */
  isOpen(): boolean;
  /** Closes the connection once no byte has moved for so many seconds. */
  closeAfter(seconds: number): void;
}

/** A response that is about to be sent. */
export interface Send {
  readonly exchange: Exchange;
  readonly peer: Peer;
  /** Bytes of it that may wait in memory. */
  readonly bytes: number;
  /** Whether the kernel sends it from a file. */
  readonly isFile: boolean;
}

interface ActiveSend extends Send {
  bytes: number;
  /** When its stall timer is set next; milliseconds of `performance.now()`. */
  timerDue: number;
}

interface Waiter extends Send {
  readonly since: number;
  readonly settle: (send: Send | undefined) => void;
}

/** Milliseconds between two sweeps: while all is well, and while responses wait for room. */
const SWEEP_MS = 1000;
const SHORT_SWEEP_MS = 20;

/** Responses after which a sweep comes at once: what was sent holds on to its request until then. */
const SWEEP_COUNT = 64;

/** Sweeps take at most one part in so many of the time. */
const SWEEP_SHARE = 20;

/** Milliseconds by which the runtime may be late with a timer of seconds. */
const TIMER_SLACK_MS = 5000;

/**
 * The runtime does not report when a response was sent completely, so a sweep polls: once a second, and more often while
 * responses wait. Until then a response counts with the bytes that it may keep in memory. One for which there is no room,
 * in its connection or its address, waits in line.
 */
export class Sends implements Disposable {
  readonly #limits: SendLimits;
  readonly #onFiles: (areSent: boolean) => void;
  readonly #active = new Set<ActiveSend>();
  #files = 0;
  /** Stands for all files on connections that the runtime tells nothing of. */
  #untold: Send | undefined;
  readonly #connections = new Map<string, number>();
  readonly #addresses = new Map<string, number>();
  /** Requests whose body is being received or stored, by connection. */
  readonly #receiving = new Map<string, number>();
  #waiting: Waiter[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #timerDue = 0;
  #sweepEnded = 0;
  #sweepMs = 0;
  #sweepAt = SWEEP_COUNT;

  /** `onFiles` is told when the kernel begins to send files, and when it has sent the last one. */
  constructor(limits: SendLimits, onFiles: (areSent: boolean) => void = () => undefined) {
    this.#limits = limits;
    this.#onFiles = onFiles;
  }

  /**
   * Counts a response: at once when there is room for it, otherwise when there is. Resolves with undefined when there was
   * none in time, or the connection is gone.
   */
  begin(exchange: Exchange, peer: Peer, bytes: number, isFile = false): Send | Promise<Send | undefined> {
    if (this.#active.size >= this.#sweepAt) this.#sweep();
    const isBehind = this.#waiting.some((waiter) => waiter.peer.address === peer.address);
    if (bytes === 0 || (!isBehind && this.#fits(peer, bytes))) return this.#add({ exchange, peer, bytes, isFile });
    const { promise, resolve } = Promise.withResolvers<Send | undefined>();
    this.#waiting.push({ exchange, peer, bytes, isFile, since: performance.now(), settle: resolve });
    this.#sweepOrWait();
    return promise;
  }

  /**
   * Says that the kernel sends a file on a connection that the runtime tells nothing of. What is sent on all of them counts as
   * one response without bytes, as long as `exchange` is open.
   */
  beginUntold(exchange: Exchange): void {
    this.#untold ??= this.#add({ exchange, peer: UNTOLD, bytes: 0, isFile: true });
  }

  /** Says that a response that was counted has another size than was thought. */
  resize(send: Send, bytes: number): void {
    const active = send as ActiveSend;
    if (!this.#active.has(active)) return;
    this.#count(active.peer, bytes - active.bytes);
    active.bytes = bytes;
  }

  /**
   * Says that a request of this connection sends a body, which the server may take long to store. Until it is disposed of no
   * stall timer is set on the connection: over HTTP/2 that would end this request too.
   */
  receiving({ connection }: Peer): Disposable {
    add(this.#receiving, connection, 1);
    return { [Symbol.dispose]: () => add(this.#receiving, connection, -1) };
  }

  /** Nothing waits any more. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { settle } of this.#waiting.splice(0)) settle(undefined);
  }

  #add({ exchange, peer, bytes, isFile }: Send): Send {
    const send = { exchange, peer, bytes, isFile, timerDue: performance.now() + SWEEP_MS };
    this.#active.add(send);
    if (isFile && ++this.#files === 1) this.#onFiles(true);
    this.#count(peer, bytes);
    this.#schedule(SWEEP_MS);
    return send;
  }

  #count({ connection, address }: Peer, bytes: number): void {
    if (bytes === 0) return;
    add(this.#connections, connection, bytes);
    add(this.#addresses, address, bytes);
  }

  /** A response that is alone has room, whatever its size. */
  #fits({ connection, address }: Peer, bytes: number): boolean {
    const [ofConnection, ofAddress] = [this.#connections.get(connection) ?? 0, this.#addresses.get(address) ?? 0];
    return (
      (ofConnection === 0 || ofConnection + bytes <= this.#limits.connectionBytes) &&
      (ofAddress === 0 || ofAddress + bytes <= this.#limits.addressBytes)
    );
  }

  /** Sweeps now unless that was done a moment ago. */
  #sweepOrWait(): void {
    if (performance.now() >= this.#sweepEnded + this.#shortPauseMs()) this.#sweep();
    else this.#schedule(this.#shortPauseMs());
  }

  #shortPauseMs(): number {
    return Math.max(SHORT_SWEEP_MS, this.#sweepMs * SWEEP_SHARE);
  }

  /** Sees to it that the next sweep comes within so many milliseconds. */
  #schedule(delayMs: number): void {
    const due = performance.now() + delayMs;
    if (this.#timer !== undefined && this.#timerDue <= due) return;
    clearTimeout(this.#timer);
    this.#timerDue = due;
    this.#timer = setTimeout(() => this.#sweep(), delayMs);
    this.#timer.unref();
  }

  #sweep(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const now = performance.now();
    for (const send of this.#active) {
      if (!send.exchange.isOpen()) this.#end(send);
      else if (now >= send.timerDue) this.#setStallTimer(send, now);
    }
    this.#letIn(now);
    this.#sweepEnded = performance.now();
    this.#sweepMs = this.#sweepEnded - now;
    this.#sweepAt = this.#active.size * 2 + SWEEP_COUNT;
    if (this.#waiting.length > 0) this.#schedule(this.#shortPauseMs());
    else if (this.#active.size > 0) this.#schedule(SWEEP_MS);
  }

  #end(send: ActiveSend): void {
    this.#active.delete(send);
    this.#count(send.peer, -send.bytes);
    if (send === this.#untold) this.#untold = undefined;
    if (send.isFile && --this.#files === 0) this.#onFiles(false);
  }

  /** Some bodies set the timer anew with the server's own time whenever a part was taken, so this is done again. */
  #setStallTimer(send: ActiveSend, now: number): void {
    if (this.#receiving.has(send.peer.connection)) return;
    const { stallSeconds } = this.#limits;
    send.exchange.closeAfter(stallSeconds);
    send.timerDue = now + stallSeconds * 1000 + TIMER_SLACK_MS;
  }

  /** Counts the responses that have room now, in the order in which they came. */
  #letIn(now: number): void {
    const [connections, addresses] = [new Set<string>(), new Set<string>()];
    this.#waiting = this.#waiting.filter((waiter) => {
      const { exchange, peer, bytes, since, settle } = waiter;
      if (!exchange.isOpen() || now - since > this.#limits.waitMs) {
        settle(undefined);
        return false;
      }
      const isFirst = !connections.has(peer.connection) && !addresses.has(peer.address);
      if (isFirst && this.#fits(peer, bytes)) {
        settle(this.#add(waiter));
        return false;
      }
      // Others of this address must not overtake it, unless it waits for its own connection alone.
      connections.add(peer.connection);
      const ofConnection = this.#connections.get(peer.connection) ?? 0;
      if (ofConnection === 0 || ofConnection + bytes <= this.#limits.connectionBytes) addresses.add(peer.address);
      return true;
    });
  }
}

function add(counts: Map<string, number>, key: string, count: number): void {
  const sum = (counts.get(key) ?? 0) + count;
  if (sum === 0) counts.delete(key);
  else counts.set(key, sum);
}
