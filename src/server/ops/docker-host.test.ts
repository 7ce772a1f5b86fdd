import { expect, test } from "bun:test";
import { dockerHost } from "./docker-host.ts";

test.each([
  ["http://localhost:5000", "localhost:5000"],
  ["http://localhost", "localhost"],
  ["https://registry.example.org", "registry.example.org"],
  ["https://registry.example.org:443", "registry.example.org"],
  ["https://registry.example.org:5000", "registry.example.org:5000"],
  ["http://registry.lan:80", "registry.lan"],
  ["http://registry:80", "registry:80"],
  ["https://registry", "registry:443"],
  ["http://10.0.0.1", "10.0.0.1"],
  ["http://[fd00::1]:5000", "[fd00::1]:5000"],
])("docker writes %s as %s", (address, name) => {
  expect(dockerHost(address)).toBe(name);
});
