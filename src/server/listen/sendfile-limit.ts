/** Bounds how long the kernel sends one file in a turn of the event loop. */
import { Worker, isMainThread } from "node:worker_threads";

/** Milliseconds of one turn that the kernel may send a file for, about. */
const TURN_MS = 2;

/**
 * Means nothing to the program and to libraries, so that one too many harms nothing: Go's runtime interrupts its threads
 * with it for the same reason.
 */
const SIGNAL = "SIGURG";

/** Numbers of the system call, by `process.arch`. */
const SENDFILE: Readonly<Record<string, number>> = { x64: 40, arm64: 71 };

/** What the thread is to do; the first number of what it shares. */
const STATE = { asleep: 0, awake: 1, ended: 2 } as const;

/**
 * The runtime sends a file with `sendfile`, which returns when the socket takes no more: never, as long as the client reads as
 * fast as the disk or the kernel gives, so that one client keeps all others waiting. A signal ends the call early, after
 * whole pieces, and the runtime goes on in its next turn. So while files are being sent, a thread looks at the main thread
 * every 2 ms and sends it a signal when it is busy.
 *
 * Elsewhere than on Linux, and over TLS and HTTP/2, the runtime does not use `sendfile`. Without `/proc` nothing is
 * interrupted.
 */
export class SendfileLimit implements Disposable {
  /** Shared with the thread: its state, and how many signals it has sent. */
  readonly #shared = new Int32Array(new SharedArrayBuffer(8));
  #thread: Worker | undefined;
  #starting: Promise<void> | undefined;

  /** How many signals were sent. */
  get signals(): number {
    return Atomics.load(this.#shared, 1);
  }

  /** Says whether files are being sent. */
  set isSending(isSending: boolean) {
    this.#setState(isSending ? STATE.awake : STATE.asleep);
  }

  /**
   * Starts the thread, which takes as long as a large file in the cache does: so it is awaited before the first one is
   * sent. Returns undefined when it runs already, or cannot.
   */
  start(): Promise<void> | undefined {
    const sendfile = SENDFILE[process.arch];
    if (this.#thread || process.platform !== "linux" || sendfile === undefined || !isMainThread) return this.#starting;
    process.on(SIGNAL, ignore); // a signal that is ignored by default interrupts nothing
    // As text, because bundles of this file have no other file that a thread could begin with.
    const thread = new Worker(`(${interruptSends.toString()})()`, {
      eval: true,
      workerData: { shared: this.#shared, pid: process.pid, signal: SIGNAL, sendfile, turnMs: TURN_MS, ...STATE },
      execArgv: [],
    });
    thread.unref();
    this.#thread = thread;
    this.#starting = new Promise<void>((resolve) => {
      thread.once("message", () => resolve());
      thread.once("error", () => resolve()); // nothing is interrupted then
    }).finally(() => (this.#starting = undefined));
    return this.#starting;
  }

  /** Ends the thread. */
  [Symbol.dispose](): void {
    this.#setState(STATE.ended);
    if (this.#thread) process.off(SIGNAL, ignore);
  }

  #setState(state: number): void {
    Atomics.store(this.#shared, 0, state);
    Atomics.notify(this.#shared, 0);
  }
}

function ignore(): void {}

interface ThreadData {
  readonly shared: Int32Array;
  /** Of the process, which is that of its main thread. */
  readonly pid: number;
  readonly signal: NodeJS.Signals;
  readonly sendfile: number;
  readonly turnMs: number;
  readonly asleep: number;
  readonly awake: number;
  readonly ended: number;
}

/** What the thread runs; it can use nothing of this file. */
function interruptSends(): void {
  const { parentPort, workerData } = process.getBuiltinModule("node:worker_threads");
  const { openSync, readSync } = process.getBuiltinModule("node:fs");
  const { shared, pid, signal, sendfile, turnMs, asleep, awake, ended } = workerData as ThreadData;
  // What the main thread does: "running", or the number of the system call that it waits in.
  const doing = openSync(`/proc/self/task/${pid}/syscall`, "r");
  const text = Buffer.alloc(32);
  const calls = ["running", `${sendfile} `];
  parentPort?.postMessage("started");
  while (Atomics.load(shared, 0) !== ended) {
    Atomics.wait(shared, 0, asleep);
    if (Atomics.wait(shared, 0, awake, turnMs) !== "timed-out") continue;
    const length = readSync(doing, text, 0, text.length, 0);
    const call = text.toString("latin1", 0, length);
    if (!calls.some((busy) => call.startsWith(busy))) continue;
    process.kill(pid, signal);
    Atomics.add(shared, 1, 1);
  }
}
