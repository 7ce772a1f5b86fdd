import { expect, test } from "bun:test";
import { withoutSecrets } from "./secrets.ts";

test("secrets are left out of settings, wherever they stand, and nothing else", () => {
  const cases: readonly (readonly [path: string, value: unknown, shown: unknown])[] = [
    ["storage.s3.secretkey", "abc", "***"],
    ["storage.s3.accesskey", "abc", "***"],
    ["storage.s3.bucket", "images", "images"],
    ["storage.azure.accountkey", "abc", "***"],
    ["proxy.password", "abc", "***"],
    ["database.url", "postgres://stowage:pa55@db:5432/stowage", "postgres://stowage:***@db:5432/stowage"],
    [
      "database.url",
      "postgres://db/stowage?user=a&password=b&sslmode=require",
      "postgres://db/stowage?user=a&password=***&sslmode=require",
    ],
    ["database.url", "postgres://stowage@db/stowage", "postgres://stowage@db/stowage"],
    ["http.tls.key", "/etc/stowage/tls.key", "/etc/stowage/tls.key"],
    ["http.tls.key", "tls.pem", "tls.pem"],
    ["http.headers", { "X-Frame-Options": ["DENY"] }, { "X-Frame-Options": ["DENY"] }],
    ["auth.token.issuer", "me", "me"],
    ["auth.token.realm", "https://auth.example.com/token", "https://auth.example.com/token"],
    [
      "notifications.endpoints",
      [{ name: "a", url: "https://u:p@x.example/", headers: { Authorization: ["Bearer x"] }, secret: "s" }],
      [{ name: "a", url: "https://u:***@x.example/", headers: { Authorization: "***" }, secret: "***" }],
    ],
    ["workers", 4, 4],
    ["http.host", undefined, undefined],
  ];
  for (const [path, value, shown] of cases) expect([path, withoutSecrets(path, value)]).toEqual([path, shown]);
});
