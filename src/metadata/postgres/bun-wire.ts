/** The wire by the driver that Bun brings. */
import type { SQL as BunSql } from "bun";
import { readFile } from "node:fs/promises";
import type { PostgresAddress } from "../../lib/postgres-address.ts";
import type { Row } from "../sql.ts";
import { CONNECTION_FAILURE, WireError } from "./wire.ts";
import type { Answer, TlsFiles, Wire, WireConnection, WireOptions, WireStatement } from "./wire.ts";

type Result = readonly Row[] & { readonly command?: string };

/** Opens a wire of at most `connections` connections, which are made when they are needed. */
export function openBunWire(address: PostgresAddress, tls: TlsFiles, options: WireOptions): Wire {
  const { SQL } = process.getBuiltinModule("bun") as unknown as { readonly SQL: typeof BunSql };
  const { connections, connectTimeoutMs, preparedStatements } = options;
  const { passwordFile, password } = address;
  const isSocket = address.host.startsWith("/");
  const sql = new SQL({
    adapter: "postgres",
    // Without an URL Bun takes `DATABASE_URL`, whatever that is; and the mode of TLS beside its files is said there alone.
    url: `postgres://${isSocket ? "localhost" : urlHost(address.host)}:${address.port}/?sslmode=${isSocket ? "disable" : address.tls.mode}`,
    ...(isSocket ? { path: address.host } : {}),
    username: address.user,
    database: address.database,
    password:
      passwordFile === undefined ? (password ?? "") : async () => (await readFile(passwordFile, "utf8")).trimEnd(),
    ...(tls.ca || tls.cert ? { tls: { ...tls } } : {}),
    max: connections,
    connectionTimeout: connectTimeoutMs / 1000, // it waits for ever without one
    idleTimeout: 0,
    maxLifetime: 0,
    prepare: preparedStatements,
    connection: { application_name: address.applicationName },
  });
  return {
    async acquire() {
      try {
        return connectionOf(await sql.reserve());
      } catch (error) {
        throw wireError(error);
      }
    },
    close: () => sql.close({ timeout: 0 }),
  };
}

function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : encodeURIComponent(host);
}

function connectionOf(reserved: Awaited<ReturnType<BunSql["reserve"]>>): WireConnection {
  const query = ({ text, values }: WireStatement): PromiseLike<unknown> => {
    if (!values) return reserved.unsafe(text).simple();
    // Without values `unsafe` takes the simple protocol, which waits for all before it, and all behind it wait for it.
    return values.length === 0 ? reserved(templateOf(text)) : reserved.unsafe(text, [...values]);
  };
  return {
    send: (flight) =>
      // All are sent before the first is awaited.
      Promise.all(flight.map((statement) => Promise.resolve(query(statement)).then(answerOf, failureOf))),
    release: () => void reserved.release(),
    close: () => void reserved.close({ timeout: 0 }).catch(() => undefined),
  };
}

/** The text as the template of a tagged one without values. */
function templateOf(text: string): TemplateStringsArray {
  return Object.defineProperty([text], "raw", { value: [text] }) as unknown as TemplateStringsArray;
}

function answerOf(result: unknown): Answer {
  const results = result as Result | readonly Result[];
  // Of several statements in one text there are several results.
  const last = (results as Result).command === undefined ? (results as readonly Result[]).at(-1) : (results as Result);
  return { rows: last ? [...last] : [], command: last?.command ?? "" };
}

function failureOf(error: unknown): Answer {
  return { error: wireError(error) };
}

/** Bun has SQLSTATE in `errno`, and a name of its own in `code` for what goes wrong before the server says anything. */
function wireError(error: unknown): WireError {
  const { errno, message } = error as { readonly errno?: unknown; readonly message?: string };
  const code = typeof errno === "string" && /^[0-9A-Z]{5}$/.test(errno) ? errno : CONNECTION_FAILURE;
  return new WireError(message ?? "the connection to PostgreSQL broke", code, error);
}
