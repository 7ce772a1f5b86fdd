/** Settings of events: distribution's, and ours. */
import { describe, expect, test } from "bun:test";
import { loadSettings } from "./sources.ts";

function settingsIn(text: string) {
  return loadSettings({ file: { path: "config.yml", text }, environment: {}, flags: {} }).settings;
}

test("the notifications of a file of distribution are taken with its defaults", () => {
  const { notifications } = settingsIn(`
version: 0.1
notifications:
  events:
    includereferences: true
  endpoints:
    - name: alistener
      disabled: false
      url: https://my.listener.com/event
      headers: {Authorization: [Bearer x], X-A: [a, b]}
      timeout: 1s
      threshold: 10
      backoff: 1s
      ignoredmediatypes:
        - application/octet-stream
      ignore:
        mediatypes:
           - application/vnd.oci.empty.v1+json
        actions:
           - pull
    - name: another
      url: http://127.0.0.1:8000
      timeout: 500000000
      threshold: 0
      backoff: 0
`);
  expect(notifications.events).toEqual({ includereferences: true });
  expect(notifications.endpoints).toMatchObject([
    {
      name: "alistener",
      headers: { Authorization: ["Bearer x"], "X-A": ["a", "b"] },
      timeout: 1000,
      threshold: 10,
      backoff: 1000,
      ignoredmediatypes: ["application/octet-stream"],
      ignore: { mediatypes: ["application/vnd.oci.empty.v1+json"], actions: ["pull"] },
    },
    { name: "another", disabled: false, timeout: 500, threshold: 10, backoff: 1000, heads: true, pushes: "all" },
  ]);
});

function endpoint(more: string): string {
  return `notifications: {endpoints: [{name: a, url: "http://x", ${more}}]}`;
}

describe("what cannot be stops the start and names its place", () => {
  const wrong: Readonly<Record<string, string>> = {
    "notifications: {endpoints: [{name: a}]}": "notifications.endpoints.0.url",
    "notifications: {endpoints: [{url: 'http://x'}]}": "notifications.endpoints.0.name",
    "notifications: {endpoints: [{name: a, url: 'ftp://x'}]}": "notifications.endpoints.0.url",
    [endpoint("ignore: {actions: [pulls]}")]: "notifications.endpoints.0.ignore.actions.0",
    [endpoint("timeout: soon")]: "notifications.endpoints.0.timeout",
    [endpoint("headers: {Host: [x]}")]: "notifications.endpoints.0.headers",
    [endpoint('headers: {X-A: ["a\\r\\nb"]}')]: "notifications.endpoints.0.headers",
    [endpoint("tiemout: 1s")]: "notifications.endpoints.0.tiemout",
    "notifications: {endpoints: [{name: a, url: 'http://x'}, {name: a, url: 'http://y'}]}": "notifications.endpoints",
    "events: {rows: 0}": "events.rows",
  };
  for (const [text, place] of Object.entries(wrong)) {
    test(place, () => {
      expect(() => settingsIn(text)).toThrow(place);
    });
  }
});
