/** Traces, where the variables of OpenTelemetry ask for them. */
import type { Logger } from "../observe/logger.ts";
import type { Tracing } from "../observe/tracing.ts";
import type { Handler } from "../server/http/handler.ts";
import { VERSION } from "../version.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** Undefined unless `OTEL_TRACES_EXPORTER` is `otlp`. Nothing of it is loaded then. */
export async function startTracing(environment: Environment, log: Logger): Promise<Tracing | undefined> {
  const { OTEL_TRACES_EXPORTER: exporter = "none", OTEL_SDK_DISABLED: disabled = "false" } = environment;
  if (disabled.toLowerCase() === "true" || exporter === "" || exporter === "none") return undefined;
  if (exporter !== "otlp") {
    log.warn(`OTEL_TRACES_EXPORTER is ${JSON.stringify(exporter)}: only otlp and none are known, so nothing is traced`);
    return undefined;
  }
  const { Tracing: Traces } = await import("../observe/tracing.ts");
  return await Traces.start(environment, VERSION);
}

/** Returns a handler whose requests have spans. */
export function tracedHandler(tracing: Tracing | undefined, handle: Handler): Handler {
  if (!tracing) return handle;
  return (request, onBodyReceived, peer) => tracing.run(request, () => handle(request, onBodyReceived, peer));
}
