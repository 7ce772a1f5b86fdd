/** What a worker and the process that started it tell each other. */
import type { Settings } from "../config/schema.ts";
import type { Samples } from "../observe/metrics.ts";

export type WorkerMessage =
  | { readonly kind: "listening" }
  /** All that it has counted since its start. */
  | { readonly kind: "counted"; readonly samples: readonly Samples[] };

export type ParentMessage =
  /** It is to say what it has counted. */
  | { readonly kind: "count" }
  /** It is to put these settings in force. */
  | { readonly kind: "settings"; readonly settings: Settings }
  /** It is to drain, or no longer. */
  | { readonly kind: "drain"; readonly isDraining: boolean };

/** Sends nothing when the parent process has ended. Resolves once the message is on its way. */
export async function tellParent(message: WorkerMessage): Promise<void> {
  if (!process.connected) return;
  await new Promise<void>((resolve) => process.send?.(message, undefined, undefined, () => resolve()));
}

/** Calls `listener` with what the parent says. */
export function listenToParent(listener: (message: ParentMessage) => void): void {
  process.on("message", (message) => listener(message as ParentMessage));
}
