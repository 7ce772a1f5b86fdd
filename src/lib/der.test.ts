import { describe, expect, test } from "bun:test";
import { array, assert, property, uint8Array } from "fast-check";
import { identifier, readTlvs, tlv } from "./der.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("a value", () => {
  const lengths: readonly (readonly [length: number, head: string])[] = [
    [0, "0400"],
    [127, "047f"],
    [128, "048180"],
    [255, "0481ff"],
    [256, "04820100"],
    [65535, "0482ffff"],
  ];
  for (const [length, head] of lengths) {
    test(`says its length before it: ${length}`, () => {
      const written = tlv(0x04, Buffer.alloc(length, 7));
      expect(hex(written.subarray(0, head.length / 2))).toBe(head);
      expect(written.length).toBe(head.length / 2 + length);
    });
  }
});

describe("an identifier", () => {
  test("is written as X.690 has it", () => {
    expect(hex(identifier("2.5.29.17"))).toBe("0603551d11");
    expect(hex(identifier("1.2.840.10045.4.3.2"))).toBe("06082a8648ce3d040302");
  });
});

describe("values that were written", () => {
  test("are read as they were", () => {
    assert(
      property(array(uint8Array({ maxLength: 300 }), { maxLength: 4 }), (contents) => {
        const written = Buffer.concat(contents.map((content, at) => tlv(at + 1, Buffer.from(content))));
        const read = readTlvs(written).map(({ tag, content }) => [tag, hex(content)]);
        expect(read).toEqual(contents.map((content, at) => [at + 1, hex(content)]));
      }),
    );
  });

  test("are refused when they are cut off or longer than any are, and reading ends whatever they are", () => {
    for (const broken of ["04", "0405aa", "0481", "048180", "048500000000ff", "04ff"]) {
      expect(() => readTlvs(Buffer.from(broken, "hex"))).toThrow(RangeError);
    }
    assert(
      property(uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          readTlvs(Buffer.from(bytes));
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError);
        }
      }),
    );
  });
});
