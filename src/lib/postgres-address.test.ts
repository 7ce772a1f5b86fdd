import { describe, expect, test } from "bun:test";
import { PostgresAddressError, postgresAddress } from "./postgres-address.ts";

const NO_FILES = { rootCertificate: undefined, certificate: undefined, key: undefined };

describe("the address of a PostgreSQL server", () => {
  test("is read from an URL, with its escapes", () => {
    expect(postgresAddress("postgresql://us%40er:p%2Fw%25@db.example:6432/reg%20istry?application_name=a+b")).toEqual({
      host: "db.example",
      port: 6432,
      user: "us@er",
      password: "p/w%",
      passwordFile: undefined,
      database: "reg istry",
      tls: { mode: "prefer", ...NO_FILES },
      applicationName: "a b",
    });
  });

  test("takes what the URL leaves out from libpq's variables, and else from libpq's defaults", () => {
    const environment = { PGUSER: "one", PGPASSWORD: "two", PGPORT: "7000", PGSSLMODE: "verify-full", PGHOST: "" };
    expect(postgresAddress("postgres://", environment)).toMatchObject({
      host: "localhost",
      port: 7000,
      user: "one",
      password: "two",
      database: "one",
      tls: { mode: "verify-full" },
    });
    expect(postgresAddress("postgres://three@host", environment)).toMatchObject({ user: "three", database: "three" });
  });

  test("may be a Unix socket, or an address of IPv6", () => {
    const socket = { host: "/run/postgresql", user: "u", database: "d", tls: { mode: "disable" } };
    for (const url of ["postgres://u@/d?host=/run/postgresql", "postgres://u@%2Frun%2Fpostgresql/d"]) {
      expect(postgresAddress(url)).toMatchObject(socket);
    }
    expect(postgresAddress("postgres://u@[::1]:5/d")).toMatchObject({ host: "::1", port: 5, tls: { mode: "disable" } });
  });

  test("may be the parameters of the URL, which win", () => {
    const parameters = "host=h&port=9&user=u&dbname=d&password=p&sslmode=require&sslrootcert=/a&sslcert=/b&sslkey=/c";
    expect(postgresAddress(`postgres://?${parameters}`)).toMatchObject({
      host: "h",
      port: 9,
      user: "u",
      password: "p",
      database: "d",
      tls: { mode: "require", rootCertificate: "/a", certificate: "/b", key: "/c" },
    });
  });

  const refused: readonly [url: string, environment?: Readonly<Record<string, string>>][] = [
    ["mysql://u@h/d"],
    ["u@h"],
    [""],
    ["postgres://host/d"],
    ["postgres://u@one,two/d"],
    ["postgres://u@h/d?sslmode=on"],
    ["postgres://u@h/d?sslcert=/only"],
    ["postgres://u@h/d?options=-c%20x"],
    ["postgres://u@h/d?port=0"],
    ["postgres://u@h:99999/d"],
    ["postgres://u:%zz@h/d"],
    ["postgres://u@h/d", { PGPORT: "x" }],
    ["postgres://u@h/d", { PGSERVICE: "x" }],
  ];
  for (const [url, environment] of refused) {
    test(`is refused when it is "${url}" ${JSON.stringify(environment ?? {})}`, () => {
      expect(() => postgresAddress(url, environment)).toThrow(PostgresAddressError);
    });
  }

  test("that is refused does not show its password", () => {
    for (const url of ["postgres://u:s3cret@h/d?sslmode=on", "postgres://u:s3cret@h:99999/d", "pg://u:s3cret@h/d"]) {
      expect(() => postgresAddress(url)).toThrow(/^(?!.*s3cret)/s);
    }
  });
});
