/** The header by which a client is asked for a password: its realm is a quoted string, whatever stands in it. */
import { expect, test } from "bun:test";
import { challengeHeader } from "./challenge.ts";
import type { Challenged } from "./challenge.ts";

for (const [realm, header] of [
  ["basic-realm", 'Basic realm="basic-realm"'],
  ["Basic Authentication", 'Basic realm="Basic Authentication"'],
  ['the "inner" one', 'Basic realm="the \\"inner\\" one"'],
  ["C:\\registry", 'Basic realm="C:\\\\registry"'],
  ["one\r\ntwo", 'Basic realm="onetwo"'],
  ["Übersee →", `Basic realm="${Buffer.from("Übersee →").toString("latin1")}"`],
] as const) {
  test(`realm ${JSON.stringify(realm)}: ${header}`, () => {
    const made = challengeHeader({ kind: "basic", realm }, {} as Challenged);
    expect(made).toBe(header);
    const sent = new Response(null, { headers: { "www-authenticate": made } });
    expect(Buffer.from(sent.headers.get("www-authenticate") ?? "", "latin1").toString()).toBe(
      `Basic realm="${realm.replaceAll(/[\r\n]/g, "").replaceAll(/["\\]/g, "\\$&")}"`,
    );
  });
}
