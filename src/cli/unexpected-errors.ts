/** Errors that nothing caught, outside of any request. They end nothing that works: other requests go on. */
import type { Logger } from "../observe/logger.ts";

/** Logs each with its stack and calls `onError`. */
export function surviveUnexpectedErrors(log: Logger, onError: () => void): void {
  const survive = (error: unknown): void => {
    onError();
    try {
      const err = error instanceof Error ? error : new Error(`thrown: ${String(error)}`);
      log.error({ err }, "uncaught error outside of a request: please report it");
    } catch {
      // It cannot even be printed; it is counted.
    }
  };
  process.on("uncaughtException", survive);
  process.on("unhandledRejection", survive);
}
