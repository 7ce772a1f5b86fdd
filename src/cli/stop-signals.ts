/** What ends a server: SIGTERM, SIGINT, and the end of the npm or of the terminal that it was started from. */
import { isatty } from "node:tty";
import type { ServerLogs } from "../observe/logs.ts";
import { isStartedByNpm, watchNpm } from "./npm-parent.ts";

export interface StopSignals {
  /** Resolves at the first stop signal. */
  readonly stopped: Promise<undefined>;
  /**
   * To be called when the server is up: from then on a stop lets running requests finish, and SIGHUP calls `reload`. Before,
   * a stop ends the program, and SIGHUP does nothing.
   */
  serving(reload: () => void): void;
}

/**
 * npm passes a signal on to the program that it started, which has had it already where the signal was sent to all
 * processes of a terminal or of a service. So with npm a signal that comes again in so short a time is the same one.
 */
const PASSED_ON_MS = 500;

const FILES = [0, 1, 2] as const;

/** Heeds the signals of this process. The first lets running requests finish; the second ends it at once, with 1. */
export function heedStopSignals(
  { log, end }: Pick<ServerLogs, "log" | "end">,
  environment: Readonly<Record<string, string | undefined>>,
): StopSignals {
  const isOfNpm = isStartedByNpm(environment);
  const { promise: stopped, resolve } = Promise.withResolvers<undefined>();
  let isServing = false;
  let reload: (() => void) | undefined;
  let askedAt: number | undefined;

  const exit = (code: number): void => void end().finally(() => process.exit(code));
  const stop = (reason: Readonly<Record<string, string>>, sentence: string): void => {
    askedAt = performance.now();
    log.info(reason, sentence);
    if (isServing) resolve(undefined);
    else exit(0);
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (askedAt === undefined) {
      stop({ signal }, "stopping: waiting for running requests; send the signal again to exit at once");
    } else if (!isOfNpm || performance.now() - askedAt > PASSED_ON_MS) {
      exit(1);
    }
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);

  const terminals = FILES.filter((file) => isatty(file));
  process.on("SIGHUP", () => {
    if (askedAt !== undefined) return;
    if (terminals.every((file) => isatty(file))) {
      reload?.();
    } else {
      stop({ signal: "SIGHUP" }, "stopping: the terminal was closed; waiting for running requests");
    }
  });

  if (isOfNpm) {
    watchNpm(environment, () => {
      if (askedAt === undefined) stop({}, "stopping: the parent npm process ended; waiting for running requests");
    });
  }
  return {
    stopped,
    serving(reloading) {
      isServing = true;
      reload = reloading;
    },
  };
}
