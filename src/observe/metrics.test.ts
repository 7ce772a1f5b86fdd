import { describe, expect, test } from "bun:test";
import { Answered } from "./access-log.ts";
import { Metrics, sumOfEnded } from "./metrics.ts";
import { RequestMetrics } from "./request-metrics.ts";

interface Asked {
  readonly method?: string;
  readonly status?: number;
  readonly handler?: string | undefined;
  readonly repository?: string;
  readonly written?: number;
  readonly received?: number;
  readonly duration?: number;
}

function ask(requests: RequestMetrics, asked: Asked = {}): void {
  const { received, duration = 3, ...parts } = asked;
  const answered = new Answered({ method: "GET", uri: "/", status: 200, written: 0, handler: "blob", ...parts });
  requests.record({ answered, remoteAddress: undefined, user: undefined, userAgent: null, duration, received });
}

/** The values of a metric by their labels, as Prometheus reads them. */
function valuesOf(text: string, name: string): Readonly<Record<string, number>> {
  const lines = text.matchAll(new RegExp(`^${name}(?:\\{(.*)\\})? (\\S+)$`, "gm"));
  return Object.fromEntries(Array.from(lines, ([, labels = "", value]) => [labels, Number(value)]));
}

describe("metrics of requests", () => {
  test("have distribution's names of methods and endpoints", async () => {
    const metrics = new Metrics("1.2.3");
    const requests = new RequestMetrics(metrics);
    ask(requests);
    ask(requests);
    ask(requests, { handler: "uploads", method: "POST", status: 202 });
    ask(requests, { handler: "upload", method: "PUT", status: 201, received: 2000, duration: 20 });
    ask(requests, { handler: undefined, method: "BREW", status: 405 });
    const text = await metrics.text();
    expect(valuesOf(text, "registry_http_requests_total")).toEqual({
      'code="200",handler="blob",method="get"': 2,
      'code="202",handler="blob_upload",method="post"': 1,
      'code="201",handler="blob_upload_chunk",method="put"': 1,
      'code="405",handler="unknown",method="other"': 1,
    });
    const buckets = valuesOf(text, "registry_http_request_duration_seconds_bucket");
    expect(buckets['le="0.005",handler="blob",method="get"'] ?? buckets['handler="blob",method="get",le="0.005"']).toBe(
      2,
    );
    expect(buckets['handler="blob_upload_chunk",method="put",le="0.01"']).toBe(0);
    expect(buckets['handler="blob_upload_chunk",method="put",le="0.025"']).toBe(1);
    expect(buckets['handler="blob_upload_chunk",method="put",le="+Inf"']).toBe(1);
    expect(valuesOf(text, "registry_http_request_size_bytes_sum")['handler="blob_upload_chunk"']).toBe(2000);
    expect(valuesOf(text, "stowage_uploads_total")).toEqual({ 'event="begun"': 1, 'event="completed"': 1 });
  });

  test("name no repository unless they are told how many", async () => {
    const metrics = new Metrics("1.2.3");
    ask(new RequestMetrics(metrics), { repository: "team/app" });
    expect(await metrics.text()).not.toContain("team/app");
  });

  test("name so many repositories and no more, and none that was not found", async () => {
    const metrics = new Metrics("1.2.3");
    const requests = new RequestMetrics(metrics, { repositories: 2 });
    ask(requests, { repository: "made-up", status: 404 });
    for (const repository of ["a", "b", "c", "d", "a"]) ask(requests, { repository, written: 10 });
    const text = await metrics.text();
    expect(valuesOf(text, "stowage_repository_requests_total")).toEqual({
      'repository="a",operation="pull"': 2,
      'repository="b",operation="pull"': 1,
      'repository="_other",operation="pull"': 2,
    });
    expect(valuesOf(text, "stowage_repository_bytes_total")['repository="a",operation="pull"']).toBe(20);
  });

  test("say how many responses are not ready yet", async () => {
    const metrics = new Metrics("1.2.3");
    const requests = new RequestMetrics(metrics);
    requests.begin("manifest");
    requests.begin("manifest");
    requests.end("manifest");
    expect(valuesOf(await metrics.text(), "registry_http_in_flight_requests")).toEqual({ 'handler="manifest"': 1 });
  });
});

describe("metrics of several processes", () => {
  test("are added up: counters, histograms and gauges of what each does; times are not", async () => {
    const [one, two] = [new Metrics("1.2.3"), new Metrics("1.2.3")];
    for (const metrics of [one, two]) {
      const requests = new RequestMetrics(metrics);
      ask(requests);
      requests.begin("blob");
      metrics.lastScrub.set(metrics === one ? 100 : 50);
    }
    const text = await one.text(async () => [structuredClone(two.samples)]);
    expect(valuesOf(text, "registry_http_requests_total")).toEqual({ 'code="200",handler="blob",method="get"': 2 });
    expect(valuesOf(text, "registry_http_request_duration_seconds_count")).toEqual({
      'handler="blob",method="get"': 2,
    });
    expect(valuesOf(text, "registry_http_in_flight_requests")).toEqual({ 'handler="blob"': 2 });
    expect(valuesOf(text, "stowage_scrub_last_completed_timestamp_seconds")).toEqual({ "": 100 });
    expect(valuesOf(text, "stowage_build_info")).toEqual({ 'version="1.2.3"': 1 });
    expect(valuesOf(text, "stowage_processes")).toEqual({ "": 2 });
  });

  test("keep what was counted by those that have ended, but not what they held", async () => {
    const ended = new Metrics("1.2.3");
    const requests = new RequestMetrics(ended);
    ask(requests);
    requests.begin("blob");
    const sum = await sumOfEnded([await sumOfEnded([ended.samples]), ended.samples]);
    const text = await new Metrics("1.2.3").text(async () => [sum]);
    expect(valuesOf(text, "registry_http_requests_total")).toEqual({ 'code="200",handler="blob",method="get"': 2 });
    expect(valuesOf(text, "registry_http_request_size_bytes_count")).toEqual({ 'handler="blob"': 2 });
    expect(valuesOf(text, "registry_http_in_flight_requests")).toEqual({});
    expect(valuesOf(text, "stowage_processes")).toEqual({ "": 1 });
  });
});

test("a value that cannot be read for a scrape keeps the others in it", async () => {
  const metrics = new Metrics("1.2.3");
  metrics.readAtScrape(async () => {
    throw new Error("a disk");
  });
  metrics.readAtScrape(async () => metrics.diskFree.set(5));
  const text = await metrics.text();
  expect(valuesOf(text, "stowage_disk_free_bytes")).toEqual({ "": 5 });
  expect(valuesOf(text, "stowage_metrics_failed_readings_total")).toEqual({ "": 1 });
});
