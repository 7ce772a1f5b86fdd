/** Variables that a shell dropped. */
import { expect, test } from "bun:test";
import { environmentOf } from "./environment.ts";

test("variables that the shell dropped are among those that it kept", () => {
  const given = {
    PATH: "/bin",
    STOWAGE_DROPPED_VARIABLES:
      "REGISTRY_HTTP_HEADERS_X-Frame-Options=DENY\nREGISTRY_HTTP_HEADERS_X-A=[b=c, d]\nno more",
  };
  expect(environmentOf(given)).toEqual({
    PATH: "/bin",
    "REGISTRY_HTTP_HEADERS_X-Frame-Options": "DENY",
    "REGISTRY_HTTP_HEADERS_X-A": "[b=c, d]",
  });
});

test("without any the environment is as it was", () => {
  expect(environmentOf({ PATH: "/bin", STOWAGE_DROPPED_VARIABLES: "" })).toEqual({ PATH: "/bin" });
  expect(environmentOf({ PATH: "/bin" })).toEqual({ PATH: "/bin" });
});
