/** How many processes serve clients. */
import { parseAddress } from "../config/address.ts";
import type { Settings } from "../config/schema.ts";
import { CommandError } from "./command-error.ts";

/** More than that by default would cost memory rather than bring speed: writes take turns anyway. */
const MOST_BY_DEFAULT = 16;

export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly cores: number;
}

export interface WorkerCount {
  readonly count: number;
  /** Why there are fewer than the settings ask for. */
  readonly warning?: string;
}

/** What the settings ask for, where it can be had. Throws when they contradict each other. */
export function countWorkers({ workers, http, storage }: Settings, { platform, cores }: Machine): WorkerCount {
  const isAsked = workers !== undefined && workers > 1;
  if (storage.filesystem.singleprocess && isAsked) {
    throw new CommandError(
      `workers: ${workers} processes cannot share the data folder, because storage.filesystem.singleprocess is true: ` +
        "set workers to 1, or singleprocess to false",
    );
  }
  const obstacle =
    parseAddress(http.addr)?.kind === "unix"
      ? "they cannot share a Unix socket"
      : platform !== "linux" // elsewhere all connections go to one of those who listen
        ? "sharing a port needs Linux"
        : undefined;
  if (obstacle !== undefined) {
    return isAsked ? { count: 1, warning: `workers: ${obstacle}: one process serves, not ${workers}` } : { count: 1 };
  }
  if (storage.filesystem.singleprocess) return { count: 1 };
  return { count: workers ?? (cores > 2 ? Math.min(cores, MOST_BY_DEFAULT) : 1) };
}
