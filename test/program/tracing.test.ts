/** Traces as a collector receives them, over a real socket. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { pushImage } from "../support/client.ts";
import { startListening } from "../support/server-process.ts";

setDefaultTimeout(60_000);

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number | string };
}

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly attributes: readonly Attribute[];
}

interface Batch {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: readonly Attribute[] };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

/** A collector that keeps what it is sent. */
function startCollector() {
  const batches: Batch[] = [];
  const types: (string | null)[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const type = request.headers.get("content-type");
      types.push(type);
      const bytes = await request.bytes();
      if (type === "application/json") batches.push(JSON.parse(new TextDecoder().decode(bytes)) as Batch);
      return Response.json({});
    },
  });
  const spans = (): readonly Span[] =>
    batches.flatMap(({ resourceSpans }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
    );
  return {
    url: `http://127.0.0.1:${server.port}`,
    batches,
    types,
    spans,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

const env = (url: string, more: Readonly<Record<string, string>> = {}) => ({
  OTEL_TRACES_EXPORTER: "otlp",
  OTEL_EXPORTER_OTLP_ENDPOINT: url,
  OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
  OTEL_BSP_SCHEDULE_DELAY: "100",
  ...more,
});

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";

test("a request is a span below that of the client, with its calls below it, and its log line names the trace", async () => {
  using collector = startCollector();
  await using server = await startListening({ env: env(collector.url, { REGISTRY_STORAGE_INLINE: "0" }) });
  await pushImage(server.url, "team/app", "v1");
  const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, "x-request-id": "mine" };
  expect((await fetch(`${server.url}/v2/team/app/manifests/v1`, { headers })).status).toBe(200);
  await server.printed(new RegExp(`"http.request.id":"mine","trace_id":"${TRACE}"`));
  expect(await server.stop()).toBe(0);
  const spans = collector.spans();
  const asked = spans.find(({ traceId, name }) => traceId === TRACE && name === "GET manifest");
  expect(asked?.parentSpanId).toBe(PARENT);
  const attributes = Object.fromEntries(
    (asked?.attributes ?? []).map(({ key, value }) => [key, Object.values(value)[0]]),
  );
  expect(attributes).toMatchObject({ "http.request.id": "mine", "url.path": "/v2/team/app/manifests/v1" });
  expect(Number(attributes["http.response.status_code"])).toBe(200);
  const below = spans.filter(({ parentSpanId }) => parentSpanId === asked?.spanId).map(({ name }) => name);
  expect(below).toContain("database read");
  const names = new Set(spans.map(({ name }) => name));
  for (const name of ["PUT manifest", "database write", "storage Move"]) expect(names).toContain(name);
  const [service] = collector.batches.flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ resource }) => resource.attributes.filter(({ key }) => key === "service.name")),
  );
  expect(service?.value.stringValue).toBe("stowage");
});

test("protobuf is the default, and a malformed traceparent is as none", async () => {
  using collector = startCollector();
  const { OTEL_EXPORTER_OTLP_PROTOCOL: _, ...rest } = env(collector.url);
  await using server = await startListening({ env: rest });
  for (const traceparent of ["x", `00-${TRACE}`, `00-${"0".repeat(32)}-${PARENT}-01`, "é".repeat(500)]) {
    const headers = { traceparent: encodeURI(traceparent), tracestate: "%%%", baggage: "=,;=" };
    expect((await fetch(`${server.url}/v2/`, { headers })).status).toBe(200);
  }
  expect(await server.stop()).toBe(0);
  expect(new Set(collector.types)).toEqual(new Set(["application/x-protobuf"]));
});

test("a collector that is not there harms no request and no stop", async () => {
  await using server = await startListening({ env: env("http://127.0.0.1:1") });
  for (let time = 0; time < 20; time++) expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
  expect(await server.stop()).toBe(0);
});

test("nothing is traced when a sampler says so, when it is disabled, or when nothing is said", async () => {
  using collector = startCollector();
  const { OTEL_TRACES_EXPORTER: _, ...silent } = env(collector.url);
  for (const each of [
    env(collector.url, { OTEL_TRACES_SAMPLER: "always_off" }),
    env(collector.url, { OTEL_SDK_DISABLED: "true" }),
    silent,
  ]) {
    await using server = await startListening({ env: each });
    expect((await fetch(`${server.url}/v2/`)).status).toBe(200);
    expect(await server.stop()).toBe(0);
  }
  expect(collector.spans()).toEqual([]);
});
