/** Checks of the world around a server, such as a file that takes it out of service: while one fails, it is not ready. */
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { pause } from "../../lib/pause.ts";
import type { Logger } from "../../observe/logger.ts";

export interface HealthCheck {
  /** As the log and `/debug/health` name it. */
  readonly name: string;
  readonly intervalMs: number;
  /** After so many failures in a row it fails; one success makes it pass. */
  readonly threshold: number;
  /** Resolves with the reason of a failure; undefined when it passes. Ends early when `signal` says so. */
  readonly check: (signal: AbortSignal) => Promise<string | undefined>;
}

/** Runs checks until it is stopped. */
export class HealthChecks implements Disposable {
  readonly #failing = new Map<string, string>();
  readonly #stopping = new AbortController();
  readonly #log: Logger;

  constructor(checks: readonly HealthCheck[], log: Logger) {
    this.#log = log;
    for (const check of checks) void this.#repeat(check, this.#stopping.signal);
  }

  /** Why each check fails that does, by its name. */
  get failing(): ReadonlyMap<string, string> {
    return this.#failing;
  }

  [Symbol.dispose](): void {
    this.#stopping.abort();
  }

  async #repeat({ name, intervalMs, threshold, check }: HealthCheck, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; await pause(intervalMs, signal)) {
      const reason = await check(signal).catch((error: unknown) => String(error));
      if (signal.aborted) return;
      failures = reason === undefined ? 0 : failures + 1;
      if (reason === undefined) {
        if (this.#failing.delete(name)) this.#log.info({ check: name }, "a health check passes again");
      } else if (failures >= threshold) {
        if (!this.#failing.has(name)) this.#log.warn({ check: name, reason }, "a health check fails: not ready");
        this.#failing.set(name, reason);
      }
    }
  }
}

/** Fails while the file is there. */
export function fileCheck(file: string, times: Pick<HealthCheck, "intervalMs" | "threshold">): HealthCheck {
  return { ...times, name: file, check: async () => (existsSync(file) ? "the file exists" : undefined) };
}

export interface HttpCheckOptions extends Pick<HealthCheck, "intervalMs" | "threshold"> {
  readonly uri: string;
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly statuscode: number;
  readonly timeoutMs: number;
}

/** Fails unless HEAD is answered with this status, as distribution has it. */
export function httpCheck({ uri, headers, statuscode, timeoutMs, ...times }: HttpCheckOptions): HealthCheck {
  const sent = Object.entries(headers).map(([name, values]): [string, string] => [name, values.join(", ")]);
  return {
    ...times,
    name: uri,
    async check(signal) {
      const within = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      const reply = await fetch(uri, { method: "HEAD", headers: sent, redirect: "manual", signal: within });
      return reply.status === statuscode ? undefined : `status ${reply.status} instead of ${statuscode}`;
    },
  };
}

export interface TcpCheckOptions extends Pick<HealthCheck, "intervalMs" | "threshold"> {
  readonly hostname: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** Fails unless a connection is made. */
export function tcpCheck({ hostname, port, timeoutMs, ...times }: TcpCheckOptions): HealthCheck {
  return {
    ...times,
    name: `${hostname}:${port}`,
    async check() {
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      const socket = connect(port, hostname);
      const timer = setTimeout(() => resolve("no connection in time"), timeoutMs);
      socket.once("connect", () => resolve(undefined));
      socket.once("error", (error) => resolve(error.message));
      try {
        return await promise;
      } finally {
        clearTimeout(timer);
        socket.destroy();
      }
    },
  };
}
