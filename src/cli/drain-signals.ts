/** Signals by which an operator takes a server out of a load balancer, and puts it back. */

/** Calls `drain` with true at SIGUSR1, and with false at SIGUSR2. */
export function heedDrainSignals(drain: (isDraining: boolean) => void): void {
  process.on("SIGUSR1", () => drain(true));
  process.on("SIGUSR2", () => drain(false));
}
