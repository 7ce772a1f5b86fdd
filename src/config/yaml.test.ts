import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { parse } from "yaml";
import { parseYaml } from "./yaml.ts";

test("numbers and words are read as the library of YAML reads them", () => {
  const texts = fc.oneof(
    fc.stringMatching(/^[\d._+-]{1,16}$/),
    fc.constantFrom("true", "false", "True", "no", "null", "~", "0", "010", "1_000", "0x10", "123456789012345"),
  );
  fc.assert(
    fc.property(texts, (text) => {
      let read: unknown;
      try {
        read = parse(text);
      } catch {
        return;
      }
      expect(parseYaml(text)).toEqual(read);
    }),
  );
});
