/** The wire by the package `pg`: for Node, and where Bun's driver is not wanted. */
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { checkServerIdentity } from "node:tls";
import type { ConnectionOptions } from "node:tls";
import { Client } from "pg";
import type { QueryArrayResult, QueryResult } from "pg";
import type { PostgresAddress } from "../../lib/postgres-address.ts";
import type { Row } from "../sql.ts";
import { CONNECTION_FAILURE, WireError } from "./wire.ts";
import type { Answer, TlsFiles, Wire, WireConnection, WireOptions, WireStatement } from "./wire.ts";

/** Without it each statement waits for the answer to the one before. The types of `pg` do not know it yet. */
const PIPELINE = { pipeline: true };

/** Prepared statements of one connection at most: `pg` never forgets one. */
const MOST_PREPARED = 500;

/** A client, and the names of what it has prepared, by their texts. */
interface Own {
  readonly client: Client;
  readonly names: Map<string, string>;
}

/** Opens a wire whose connections are made when they are needed; who calls it bounds their number. */
export function openPgWire(address: PostgresAddress, tls: TlsFiles, options: WireOptions): Wire {
  const idle: Own[] = [];
  const all = new Set<Client>();

  const connect = async (ssl = tlsOf(address, tls)): Promise<Own> => {
    const { passwordFile } = address;
    const client = new Client({
      host: address.host,
      port: address.port,
      user: address.user,
      database: address.database,
      password:
        passwordFile === undefined ? (address.password ?? "") : (await readFile(passwordFile, "utf8")).trimEnd(),
      ssl,
      application_name: address.applicationName,
      connectionTimeoutMillis: options.connectTimeoutMs,
      ...PIPELINE,
    });
    const forget = (): void => {
      all.delete(client);
      const at = idle.findIndex((each) => each.client === client);
      if (at >= 0) idle.splice(at, 1);
    };
    client.on("error", forget); // without a listener it would end the process
    client.on("end", forget);
    try {
      await client.connect();
    } catch (error) {
      const isOptional = ["allow", "prefer"].includes(address.tls.mode) && tls.ca === undefined;
      if (ssl !== false && isOptional && isTlsRefusal(error)) return await connect(false);
      throw error;
    }
    all.add(client);
    return { client, names: new Map() };
  };

  const connectionOf = (own: Own): WireConnection => {
    const { client, names } = own;
    let isClosed = false;
    return {
      send: (flight) =>
        Promise.all(flight.map((statement) => run(client, names, options, statement).then(answerOf, failureOf))),
      release() {
        if (!isClosed && all.has(client)) idle.push(own);
      },
      close() {
        isClosed = true;
        all.delete(client);
        // `end` would wait for a server that does not answer.
        (client as unknown as { connection?: { stream?: { destroy(): void } } }).connection?.stream?.destroy();
      },
    };
  };
  return {
    async acquire() {
      try {
        return connectionOf(idle.pop() ?? (await connect()));
      } catch (error) {
        throw wireError(error);
      }
    },
    async close() {
      idle.length = 0;
      await Promise.allSettled(Array.from(all, (client) => client.end()));
    },
  };
}

function run(
  client: Client,
  names: Map<string, string>,
  { preparedStatements }: WireOptions,
  { text, values }: WireStatement,
): Promise<QueryResult<Row>> {
  if (!values) return client.query<Row>(text);
  const named = preparedStatements ? nameOf(names, text) : undefined;
  const bound = values.map((value) =>
    value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength) : value,
  );
  return client.query<Row>({ text, values: bound, ...(named === undefined ? {} : { name: named }) });
}

function nameOf(names: Map<string, string>, text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined || names.size >= MOST_PREPARED) return known;
  const name = `s${names.size}`;
  names.set(text, name);
  return name;
}

function tlsOf({ host, tls: { mode } }: PostgresAddress, files: TlsFiles): boolean | ConnectionOptions {
  if (mode === "disable" || host.startsWith("/")) return false;
  const isVerified = mode === "verify-ca" || mode === "verify-full" || files.ca !== undefined;
  return {
    ...files,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    rejectUnauthorized: isVerified,
    checkServerIdentity:
      mode === "verify-ca" ? () => undefined : (_, certificate) => checkServerIdentity(host, certificate),
  };
}

function isTlsRefusal(error: unknown): boolean {
  return error instanceof Error && error.message.includes("does not support SSL");
}

function answerOf(result: QueryResult<Row> | readonly QueryArrayResult[]): Answer {
  const last = (Array.isArray(result) ? result.at(-1) : result) as QueryResult<Row> | undefined;
  return { rows: last?.rows ?? [], command: last?.command ?? "" };
}

function failureOf(error: unknown): Answer {
  return { error: wireError(error) };
}

function wireError(error: unknown): WireError {
  const { code, message } = error as { readonly code?: unknown; readonly message?: string };
  const state =
    typeof code === "string" && /^[0-9A-Z]{5}$/.test(code) && !/^E[A-Z]+$/.test(code) ? code : CONNECTION_FAILURE;
  return new WireError(message || "the connection to PostgreSQL broke", state, error);
}
