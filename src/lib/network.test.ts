/** Networks of addresses. */
import { describe, expect, test } from "bun:test";
import { Networks, customerNetwork, isLoopbackHost, parseNetwork } from "./network.ts";

describe("a network", () => {
  test("is written as an address and how many of its bits count; without them it is one address", () => {
    expect(parseNetwork("10.0.0.0/8")).toEqual({ address: "10.0.0.0", bits: 8, family: "ipv4" });
    expect(parseNetwork("::1")).toEqual({ address: "::1", bits: 128, family: "ipv6" });
    for (const wrong of ["", "10.0.0.0/33", "example.com", "10.0.0.0/", "/8", "fd00::/129", "10.0.0.0/8/8"]) {
      expect(parseNetwork(wrong)).toBeUndefined();
    }
  });

  test("has its addresses and no other", () => {
    const networks = new Networks(["10.0.0.0/8", "192.0.2.7", "fd00::/8"].map((text) => parseNetwork(text)!));
    for (const inside of ["10.255.0.1", "192.0.2.7", "fd12::1", "::ffff:10.0.0.1"]) {
      expect(networks.has(inside)).toBeTrue();
    }
    for (const outside of ["11.0.0.1", "192.0.2.8", "fe80::1", "::ffff:11.0.0.1", "", "unknown", "example.com"]) {
      expect(networks.has(outside)).toBeFalse();
    }
    expect(new Networks([]).has("127.0.0.1")).toBeFalse();
  });
});

test("a host is this machine alone by its name or by any address of the loopback network", () => {
  for (const host of ["localhost", "127.0.0.1", "127.1.2.3", "::1", "[::1]"]) expect(isLoopbackHost(host)).toBeTrue();
  for (const host of ["0.0.0.0", "[::]", "128.0.0.1", "127.0.0.1.example.com", "127.example.com", "registry", ""]) {
    expect(isLoopbackHost(host)).toBeFalse();
  }
});

test("a customer has one address of IPv4, and of IPv6 a network of 64 bits, however it is written", () => {
  for (const one of ["2001:db8::1", "2001:db8:0:0:ffff::7", "2001:db8:0:0:1:2:3:4"]) {
    expect(customerNetwork(one)).toBe("2001:db8:0:0");
  }
  expect(customerNetwork("2001:db8:1:2::")).toBe("2001:db8:1:2");
  expect([customerNetwork("::ffff:192.0.2.1"), customerNetwork("192.0.2.1")]).toEqual(["192.0.2.1", "192.0.2.1"]);
  expect(customerNetwork("local")).toBe("local");
});
