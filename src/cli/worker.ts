/** `stowage worker`: serves clients beside others of its kind, on a port that they share. `stowage serve` starts it. */
import type { Settings } from "../config/schema.ts";
import type { Logger } from "../observe/logger.ts";
import type { HealthChecks } from "../server/ops/health-checks.ts";
import { CommandError } from "./command-error.ts";
import { notReadyBecause, startHealthChecks } from "./health.ts";
import { heedDrainSignals } from "./drain-signals.ts";
import { listenForClients } from "./listen-for-clients.ts";
import { openRegistry } from "./open-registry.ts";
import { applySettings, notInForce } from "./reload.ts";
import { countedBy, logsFor, stopListening } from "./serving.ts";
import { surviveUnexpectedErrors } from "./unexpected-errors.ts";
import { startTracing, tracedHandler } from "./tracing.ts";
import { listenToParent, tellParent } from "./worker-messages.ts";
import type { WorkerConfig } from "./workers.ts";

/** Resolves with the exit code when the worker got a stop signal, or its parent process ended. */
export async function worker(): Promise<number> {
  if (!process.send) throw new CommandError("worker is internal: stowage serve starts workers (setting workers)");
  const told = toldToStop();
  const parent = followParent();
  const { settings, address, isDraining } = (await Bun.stdin.json()) as WorkerConfig;
  const logs = await logsFor(settings);
  try {
    let checks = startHealthChecks(settings.health, logs.log);
    const notReady = (): string | undefined => notReadyBecause(checks);
    const { auditFails } = logs;
    const tracing = await startTracing(process.env, logs.log);
    const observer = tracing?.calls;
    await using registry = await openRegistry(settings, logs.log, { serving: true, auditFails, notReady, observer });
    const { metrics } = registry;
    logs.onDropped((dropped) => metrics.countDroppedLines(dropped));
    surviveUnexpectedErrors(logs.log, () => metrics.countUnexpectedError());
    const tellCounted = (): Promise<void> => tellParent({ kind: "counted", samples: metrics.samples });
    const setHealthChecks = (started: HealthChecks): void => {
      checks[Symbol.dispose]();
      checks = started;
    };
    const drain = (drains: boolean): void => void (registry.readiness.isDraining = drains);
    drain(isDraining);
    heedDrainSignals(drain);
    parent.begin({
      count: tellCounted,
      // One that fails is no reason to disregard the next one.
      apply: (changed) =>
        applySettings(changed, { registry, logs, setHealthChecks }).catch((error: unknown) =>
          notInForce(error, logs.log),
        ),
      drain,
    });
    const handle = tracedHandler(tracing, registry.handle);
    const listening = await listenForClients(settings, handle, countedBy(registry, logs), address);
    await tellParent({ kind: "listening" });
    const stopping = new AbortController();
    const tellingPulls = registry.sendPulls(stopping.signal);
    explain(await told, logs.log);
    await stopListening(listening, logs.log);
    checks[Symbol.dispose]();
    stopping.abort();
    await tellingPulls;
    await tellCounted();
    await tracing?.stop();
  } finally {
    await logs.end();
  }
  return 0;
}

interface Orders {
  /** Says what was counted. */
  readonly count: () => Promise<void>;
  readonly apply: (settings: Settings) => Promise<void>;
  /** Begins or ends a drain. */
  readonly drain: (isDraining: boolean) => void;
}

/** Does what the parent process says, in its order; what it says before the beginning waits. */
function followParent() {
  const { promise: orders, resolve: begin } = Promise.withResolvers<Orders>();
  let applying: Promise<unknown> = orders;
  listenToParent((message) => {
    if (message.kind === "count") void orders.then(({ count }) => count());
    else if (message.kind === "drain") void orders.then(({ drain }) => drain(message.isDraining));
    else applying = applying.then(async () => await (await orders).apply(message.settings));
  });
  return { begin };
}

type Reason = "a signal" | "left alone";

/**
 * Signals are heeded once: at a terminal Ctrl-C reaches every process, and then the supervisor passes it on. A SIGKILL of
 * the supervisor ends the worker at once. The supervisor alone handles SIGHUP.
 */
function toldToStop(): Promise<Reason> {
  return new Promise((stop) => {
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => stop("a signal"));
    process.on("SIGHUP", () => {});
    process.on("disconnect", () => stop("left alone"));
  });
}

function explain(reason: Reason, log: Logger): void {
  if (reason === "left alone") log.warn("the parent process ended: this worker stops after its running requests");
}
