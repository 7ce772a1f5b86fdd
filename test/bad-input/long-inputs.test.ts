/**
 * Whatever parses what a client sends takes time by its length, not by the square of it. Nothing is timed: with inputs of
 * this length a parser that goes back and forth, as a regular expression may, would not end within the time of a test.
 */
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { hashCost } from "../../src/auth/passwords.ts";
import { parseScopes } from "../../src/auth/scope.ts";
import { accountNameProblem } from "../../src/auth/account-name.ts";
import { glob } from "../../src/lib/glob.ts";
import { customerNetwork } from "../../src/lib/network.ts";
import { isDigestLike, parseDigest } from "../../src/oci/digest.ts";
import { repeatedKey } from "../../src/oci/json-keys.ts";
import { essenceOf, isMediaType } from "../../src/oci/media-type.ts";
import { parseRepositoryName } from "../../src/oci/repository-name.ts";
import { parseTag } from "../../src/oci/tag.ts";
import { tagCondition } from "../../src/server/http/conditions.ts";
import { parseCredentials } from "../../src/auth/credentials.ts";
import { Origins } from "../../src/server/http/origin.ts";
import { parseContentRange, parseRange } from "../../src/server/http/ranges.ts";
import { parseRoute } from "../../src/server/routes.ts";

setDefaultTimeout(60_000);

/** Longer than any header or address that is taken. */
const LENGTH = 150_000;

/** What hostile inputs repeat: the letters of the grammars, and what opens or escapes something and never ends. */
const UNITS: readonly string[] = [
  ...'a0-_./,;:"\\(*%=[{ \té'.split(""),
  ...'a- a. a/ __ \\" "\\ ," ;a= W/" W/ 0- 0-, bytes= %2f (( () stw_ [[ {"a": a: a:b,'.split(" "),
  "repository:a:pull ",
];

const ENDINGS = ["", "!"];

const proxied = new Origins({ trustedProxies: ["127.0.0.1"] });

/** The caller of a request with such a header, as `fetch` would not send it: `Headers` takes no line breaks. */
function callerBy(name: string, value: string): unknown {
  const headers = { get: (asked: string) => (asked === name ? value : null) };
  return proxied.callerOf({ headers } as unknown as Request, "127.0.0.1");
}

function conditionBy(name: string, value: string): unknown {
  return tagCondition({ get: (asked: string) => (asked === name ? value : null) } as unknown as Headers);
}

const PARSERS: Readonly<Record<string, (text: string) => unknown>> = {
  "a name of a repository": parseRepositoryName,
  "a tag": parseTag,
  "a digest": parseDigest,
  "a digest of an unknown algorithm": isDigestLike,
  "a media type": isMediaType,
  "a Content-Type": essenceOf,
  "a path": (text) => parseRoute(`/v2/${text}`, "GET"),
  "a path of an extension": (text) => parseRoute(`/extensions/v2/${text}/signatures/x`, "GET"),
  "a Range": (text) => parseRange(`bytes=${text}`, 1000),
  "a Content-Range": parseContentRange,
  "an Authorization header": parseCredentials,
  "Basic credentials": (text) => parseCredentials(`Basic ${text}`),
  "the scopes of a token": (text) => parseScopes([text, `${text}:x:pull`, `repository:${text}:pull`]),
  "the name of an account": accountNameProblem,
  "a hash of a password": (text) => [hashCost(text), hashCost(`$argon2id$v=19$m=1,t=1,p=1$${text}`)],
  "an address": customerNetwork,
  "X-Forwarded-For": (text) => callerBy("x-forwarded-for", text),
  "X-Forwarded-Host": (text) => callerBy("x-forwarded-host", text),
  "X-Forwarded-Proto": (text) => callerBy("x-forwarded-proto", text),
  Forwarded: (text) => [callerBy("forwarded", text), callerBy("forwarded", `for="${text}`)],
  "If-Match": (text) => conditionBy("if-match", text),
  "If-None-Match": (text) => conditionBy("if-none-match", text),
  "the keys of a JSON document": (text) => repeatedKey(JSON.stringify({ [text]: text })),
  "a name that a pattern is about": (text) => [glob("*-*-*-*-*-*/x")(text), glob("**a**a**a**")(text)],
};

describe("a long and hostile input", () => {
  test.each(Object.keys(PARSERS))("is parsed in a time that grows with its length: %s", (name) => {
    let parsed = 0;
    for (const unit of UNITS) {
      const text = unit.repeat(Math.ceil(LENGTH / unit.length));
      for (const ending of ENDINGS) {
        PARSERS[name]?.(text + ending);
        parsed++;
      }
    }
    expect(parsed).toBe(UNITS.length * ENDINGS.length);
  });
});
