/** Traces by OpenTelemetry, as the variables `OTEL_…` say. Loaded only when they ask for it. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, defaultTextMapGetter, trace } from "@opentelemetry/api";
import type { Context, Span, Tracer } from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { defaultResource, resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { SpanExporter } from "@opentelemetry/sdk-trace-base";
import type { CallObserver } from "./calls.ts";
import { currentSpan } from "./trace-context.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What a span says of an answer. */
export interface TracedReply {
  readonly status: number;
  readonly handler?: string | undefined;
  readonly repository?: string | undefined;
  readonly requestId?: string;
}

/** How long a stop waits for the spans that are still to be sent. */
const STOP_MS = 2000;

export class Tracing {
  readonly #provider: BasicTracerProvider;
  readonly #tracer: Tracer;
  readonly #propagator = new W3CTraceContextPropagator();
  readonly #follows: boolean;

  private constructor(provider: BasicTracerProvider, follows: boolean) {
    this.#provider = provider;
    this.#tracer = provider.getTracer("stowage");
    this.#follows = follows;
  }

  /** Spans are kept and sent by a bounded batch (`OTEL_BSP_…`): one that cannot be sent is dropped, and delays no request. */
  static async start(environment: Environment, version: string): Promise<Tracing> {
    const name = environment["OTEL_SERVICE_NAME"] ?? "stowage";
    const resource = resourceFromAttributes({ "service.name": name, "service.version": version });
    const named = /(?:^|,)\s*service\.name=/.test(environment["OTEL_RESOURCE_ATTRIBUTES"] ?? "");
    const attributes = resourceFromAttributes(attributesIn(environment["OTEL_RESOURCE_ATTRIBUTES"]));
    const all = defaultResource().merge(resource).merge(attributes);
    const provider = new BasicTracerProvider({
      resource: named && environment["OTEL_SERVICE_NAME"] !== undefined ? all.merge(resource) : all,
      spanProcessors: [new BatchSpanProcessor(await exporterFor(environment))],
    });
    const propagators = (environment["OTEL_PROPAGATORS"] ?? "tracecontext,baggage").split(",");
    return new Tracing(
      provider,
      propagators.some((each) => each.trim() === "tracecontext"),
    );
  }

  /** Runs a request in a span of its own, which belongs to the trace that the client names. */
  run<Reply extends TracedReply>(
    request: Request,
    work: () => Reply | Promise<Reply>,
  ): (Reply & Traced) | Promise<Reply & Traced> {
    const span = this.#tracer.startSpan(
      request.method,
      {
        kind: SpanKind.SERVER,
        attributes: {
          "http.request.method": request.method,
          "url.path": pathOf(request.url),
          "user_agent.original": request.headers.get("user-agent") ?? undefined,
        },
      },
      this.#parentOf(request),
    );
    const { traceId } = span.spanContext();
    const ended = (reply: Reply): Reply & Traced => {
      endRequest(span, request.method, reply);
      return { ...reply, traceId };
    };
    const reply = currentSpan.run(span, work);
    return reply instanceof Promise ? reply.then(ended) : ended(reply);
  }

  /** Spans of calls that requests make. What runs in the background has none. */
  readonly calls: CallObserver = {
    begin: ({ target, driver, action }) => {
      const parent = currentSpan.getStore();
      if (!parent?.isRecording()) return () => undefined;
      const attributes = { "stowage.driver": driver, "stowage.action": action };
      const context = trace.setSpan(ROOT_CONTEXT, parent);
      const span = this.#tracer.startSpan(`${target} ${action}`, { kind: SpanKind.CLIENT, attributes }, context);
      return (error) => {
        if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end();
      };
    },
  };

  /** Sends what waits, for a bounded time. */
  async stop(): Promise<void> {
    const { promise: over, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, STOP_MS);
    await Promise.race([this.#provider.shutdown().catch(() => undefined), over]);
    clearTimeout(timer);
  }

  #parentOf({ headers }: Request): Context {
    if (!this.#follows || !headers.has("traceparent")) return ROOT_CONTEXT;
    const carrier = {
      traceparent: headers.get("traceparent") ?? "",
      tracestate: headers.get("tracestate") ?? "",
    };
    return this.#propagator.extract(ROOT_CONTEXT, carrier, defaultTextMapGetter);
  }
}

/** The trace that a reply belongs to. */
export interface Traced {
  readonly traceId: string;
}

function endRequest(span: Span, method: string, { status, handler, repository, requestId }: TracedReply): void {
  if (handler !== undefined) {
    span.updateName(`${method} ${handler}`);
    span.setAttribute("http.route", handler);
  }
  span.setAttribute("http.response.status_code", status);
  if (repository !== undefined) span.setAttribute("stowage.repository", repository);
  if (requestId !== undefined) span.setAttribute("http.request.id", requestId);
  if (status >= 500) span.setStatus({ code: SpanStatusCode.ERROR });
  span.end();
}

async function exporterFor(environment: Environment): Promise<SpanExporter> {
  const protocol = environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] ?? environment["OTEL_EXPORTER_OTLP_PROTOCOL"];
  if (protocol === "http/json") {
    const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-http");
    return new OTLPTraceExporter();
  }
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter();
}

/** `key=value,key=value`, percent-encoded. */
function attributesIn(text = ""): Readonly<Record<string, string>> {
  const pairs = text.split(",").flatMap((pair): [string, string][] => {
    const [, key = "", value = ""] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
    if (key === "") return [];
    try {
      return [[key, decodeURIComponent(value)]];
    } catch {
      return [[key, value]];
    }
  });
  return Object.fromEntries(pairs);
}

function pathOf(url: string): string {
  const from = url.indexOf("/", url.indexOf("://") + 3);
  const path = from === -1 ? "/" : url.slice(from);
  return path.replace(/[?#].*$/s, "").slice(0, 1024);
}
