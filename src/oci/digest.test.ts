/** Digests: the grammar of image-spec's descriptor.md, and hashing that goes on piece by piece. */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { digestOf as independentDigestOf } from "../../test/support/content.ts";
import {
  Digester,
  algorithmOf,
  digest,
  digestOf,
  encodedOf,
  isDigestLike,
  parseAlgorithm,
  parseDigest,
} from "./digest.ts";
import type { Algorithm, Digest } from "./digest.ts";

/** FIPS 180-4's example: the digests of the bytes "abc". */
const ABC256 = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const ABC512 =
  "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
  "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
/** image-spec, "Guidance for an Empty Descriptor": the digest of `{}`. */
const EMPTY_OBJECT = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

const HEX64 = ABC256.slice("sha256:".length);
const HEX128 = ABC512.slice("sha512:".length);

const algorithm = fc.constantFrom<Algorithm>("sha256", "sha512");

/** Any digest, not computed from any bytes. */
const anyDigest = algorithm.chain((name) => {
  const size = name === "sha256" ? 32 : 64;
  return fc
    .uint8Array({ minLength: size, maxLength: size })
    .map((bytes) => `${name}:${Buffer.from(bytes).toString("hex")}`);
});

const anyUnit = fc.nat(0xffff).map((unit) => String.fromCharCode(unit));

/** ASCII, or any sixteen-bit units: half surrogates too. */
const anyText = fc.oneof(
  fc.string({ maxLength: 300 }),
  fc.uint16Array({ maxLength: 300 }).map((units) => String.fromCharCode(...units)),
);

describe("the parser of digests", () => {
  const good = [ABC256, ABC512, EMPTY_OBJECT, `sha256:${"0".repeat(64)}`, `sha512:${"f".repeat(128)}`];
  for (const text of good) {
    test(`takes ${text.slice(0, 24)}…`, () => {
      expect(parseDigest(text)).toBe(text as Digest);
      expect(digest(text)).toBe(text as Digest);
    });
  }

  const bad: readonly (readonly [title: string, text: string])[] = [
    ["nothing", ""],
    ["a colon alone", ":"],
    ["an algorithm alone", "sha256"],
    ["an algorithm and a letter", "sha256x"],
    ["an algorithm and a colon", "sha256:"],
    ["hexadecimal digits alone", HEX64],
    ["digits without an algorithm", `:${HEX64}`],
    ["words instead of digits", "sha256:baddigeststring"],
    ["63 digits", `sha256:${HEX64.slice(1)}`],
    ["65 digits", `sha256:${HEX64}0`],
    ["no digits at all, but as many letters", `sha256:${"g".repeat(64)}`],
    ["upper case in the digits", `sha256:${HEX64.toUpperCase()}`],
    ["one upper-case digit", `sha256:${HEX64.slice(0, -1)}D`],
    ["upper case in the algorithm", `SHA256:${HEX64}`],
    ["sha512's length under sha256", `sha256:${HEX128}`],
    ["sha256's length under sha512", `sha512:${HEX64}`],
    ["127 digits under sha512", `sha512:${HEX128.slice(1)}`],
    ["129 digits under sha512", `sha512:${HEX128}0`],
    ["sha384, which we do not compute", `sha384:${"0".repeat(96)}`],
    ["md5, which we do not compute", `md5:${"0".repeat(32)}`],
    ["blake3, which we do not compute", `blake3:${HEX64}`],
    ["an algorithm with a part behind", `sha256+b64:${HEX64}`],
    ["a dash in the algorithm", `sha-256:${HEX64}`],
    ["two colons", `sha256::${HEX64.slice(1)}`],
    ["an algorithm twice", `sha256:sha256:${HEX64}`],
    ["a space before", ` ${ABC256}`],
    ["a space behind", `${ABC256} `],
    ["a space behind the colon", `sha256: ${HEX64.slice(1)}`],
    ["a line break behind", `${ABC256}\n`],
    ["a line break in place of the last digit", `${ABC256.slice(0, -1)}\n`],
    ["a NUL behind", `${ABC256}\0`],
    ["a NUL in place of the last digit", `${ABC256.slice(0, -1)}\0`],
    ["a slash in the digits", `sha256:${HEX64.slice(0, -1)}/`],
    ["the character before 0", `sha256:/${HEX64.slice(1)}`],
    ["the character after 9", `sha256:${HEX64.slice(1)}:`],
    ["the character before a", `sha256:${HEX64.slice(1)}\``],
    ["a Cyrillic look-alike of a", `sha256:${HEX64.replace("a", "\u0430")}`],
    ["a full-width digit", `sha256:${HEX64.slice(0, -1)}\uff10`],
    ["an Arabic digit", `sha256:${HEX64.slice(0, -1)}\u0660`],
    ["a Cyrillic look-alike in the algorithm", `sh\u0430256:${HEX64}`],
    ["a long s in the algorithm", `\u017fha256:${HEX64}`],
    ["a zero-width space", `sha256:\u200b${HEX64.slice(1)}`],
    ["a full-width colon", `sha256\uff1a${HEX64}`],
    ["the name of a property that every object has", `constructor:${HEX64}`],
    ["the name of the prototype", `__proto__:${HEX64}`],
    ["an at sign before", `@${ABC256}`],
    ["quotes around", `"${ABC256}"`],
  ];
  for (const [title, text] of bad) {
    test(`refuses ${title} with DIGEST_INVALID`, () => {
      expect(parseDigest(text)).toBeUndefined();
      expect(() => digest(text)).toThrow(expect.objectContaining({ code: "DIGEST_INVALID", status: 400 }));
    });
  }

  test("gives back any digest letter by letter, with its two parts", () => {
    fc.assert(
      fc.property(anyDigest, (text) => {
        const parsed = digest(text);
        expect(parsed).toBe(text as Digest);
        expect(`${algorithmOf(parsed)}:${encodedOf(parsed)}`).toBe(text);
      }),
    );
  });

  test("takes no digest in which one character was changed to none of its own", () => {
    const change = fc.record({
      text: anyDigest,
      at: fc.nat(),
      to: fc.oneof(fc.constantFrom("A", "g", "/", ":", "`", "0"), anyUnit),
    });
    fc.assert(
      fc.property(change, ({ text, at, to }) => {
        const place = at % text.length;
        const changed = `${text.slice(0, place)}${to}${text.slice(place + 1)}`;
        const expected = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/.test(changed) ? changed : undefined;
        expect(parseDigest(changed)).toBe(expected as Digest | undefined);
      }),
    );
  });

  test("never throws, whatever it is given", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect([undefined, text]).toContain(parseDigest(text));
      }),
    );
  });

  test("repeats at most 256 characters of what it refuses", () => {
    const detail = { digest: "x".repeat(256) };
    expect(() => digest("x".repeat(10_000))).toThrow(expect.objectContaining({ details: [detail] }));
  });

  test("knows the names of the algorithms that are computed, and no others", () => {
    expect(["sha256", "sha512"].map(parseAlgorithm)).toEqual(["sha256", "sha512"]);
    for (const name of ["", "SHA256", "sha384", "md5", "blake3", "toString", "__proto__", "sha256 "]) {
      expect(parseAlgorithm(name)).toBeUndefined();
    }
  });
});

describe("the grammar of digests of any algorithm", () => {
  const good = [
    ABC256,
    ABC512,
    "sha256:baddigeststring",
    `sha256:${HEX64.toUpperCase()}`,
    "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
    "sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564",
    "a:b",
    "0:0",
    "a.b_c-d+e:f",
    "a:=_-",
  ];
  for (const text of good) {
    test(`holds ${text.slice(0, 32)}`, () => {
      expect(isDigestLike(text)).toBeTrue();
    });
  }

  const bad = [
    "",
    ":",
    "a",
    "a:",
    ":a",
    "A:b",
    "a..b:c",
    "a+_b:c",
    "+a:b",
    "a+:b",
    "a:b:c",
    "a:b c",
    "a:b\n",
    "a:b/c",
    "a:ä",
    "ä:a",
    " a:b",
  ];
  for (const text of bad) {
    test(`does not hold ${JSON.stringify(text)}`, () => {
      expect(isDigestLike(text)).toBeFalse();
    });
  }

  test("holds every digest that we compute", () => {
    fc.assert(fc.property(anyDigest, (text) => isDigestLike(text)));
  });

  test("is decided on hostile text as well", () => {
    for (const text of [
      "a".repeat(100_000),
      `${"a+".repeat(50_000)}:`,
      `${"a-".repeat(50_000)}a`,
      `a:${"b".repeat(100_000)}!`,
    ]) {
      expect(isDigestLike(text)).toBeFalse();
    }
  });
});

describe("hashing", () => {
  test("gives the published digests of known bytes", () => {
    expect(digestOf(Buffer.from("abc"))).toBe(ABC256 as Digest);
    expect(digestOf(Buffer.from("abc"), "sha512")).toBe(ABC512 as Digest);
    expect(digestOf(Buffer.from("{}"))).toBe(EMPTY_OBJECT as Digest);
  });

  test("piece by piece gives the digest of the whole, however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 12 }), (pieces) => {
        const digester = Digester.of("sha256", "sha512");
        for (const piece of pieces) digester.update(piece);
        const whole = Buffer.concat(pieces);
        expect(digester.digest("sha256")).toBe(independentDigestOf(whole, "sha256") as Digest);
        expect(digester.digest("sha512")).toBe(independentDigestOf(whole, "sha512") as Digest);
      }),
    );
  });

  test("may be asked in the middle and goes on", () => {
    const digester = Digester.of("sha256");
    const asked: (string | undefined)[] = [];
    for (const piece of ["a", "", "b", "c"]) {
      digester.update(Buffer.from(piece));
      asked.push(digester.digest("sha256"), digester.digest("sha256"));
    }
    expect(asked).toEqual(["a", "a", "a", "a", "ab", "ab", "abc", "abc"].map((text) => independentDigestOf(text)));
  });

  test("of nothing gives the digest of no bytes", () => {
    expect(Digester.of("sha256").digest("sha256")).toBe(independentDigestOf("") as Digest);
  });

  test("goes its own way in a copy, and the original is none the wiser", () => {
    const bytes = fc.uint8Array({ maxLength: 100 });
    fc.assert(
      fc.property(bytes, bytes, bytes, algorithm, (before, here, there, name) => {
        const original = Digester.of("sha256", "sha512");
        original.update(before);
        const copy = original.copy();
        original.update(here);
        copy.update(there);
        expect(original.digest(name)).toBe(independentDigestOf(Buffer.concat([before, here]), name) as Digest);
        expect(copy.digest(name)).toBe(independentDigestOf(Buffer.concat([before, there]), name) as Digest);
      }),
    );
  });

  test("knows no digest of an algorithm that was not asked for", () => {
    expect(Digester.of("sha256").digest("sha512")).toBeUndefined();
    expect(Digester.of("sha512").copy().digest("sha256")).toBeUndefined();
    expect(Digester.of().digest("sha256")).toBeUndefined();
  });
});
