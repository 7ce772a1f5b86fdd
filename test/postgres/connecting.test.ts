/** Connections to a real PostgreSQL: TLS in each mode, passwords, Unix sockets; with both drivers. */
import { describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { postgresAddress } from "../../src/lib/postgres-address.ts";
import { ConnectionPool } from "../../src/metadata/postgres/connection-pool.ts";
import { Authority } from "../support/certificates.ts";
import { scratchFolder } from "../support/scratch.ts";
import { PostgresServer, poolOptions, sharedServer } from "./support/postgres-server.ts";

const folder = await scratchFolder();
const authority = new Authority();
const other = new Authority("another authority");
const rightCa = join(folder, "right.pem");
const wrongCa = join(folder, "wrong.pem");
await writeFile(rightCa, authority.cert);
await writeFile(wrongCa, other.cert);

const PASSWORD = "odd: p@ss/word % 'ü\"";

let secured: Promise<PostgresServer> | undefined;

/** A server whose certificate is for `localhost` alone, and which asks for a password unless TLS is off. */
function securedServer(): Promise<PostgresServer> {
  secured ??= (async () => {
    const { cert, key } = authority.issue("a database", { names: ["localhost"] });
    const server = await PostgresServer.start({
      settings: { ssl: "on", ssl_cert_file: "'server.crt'", ssl_key_file: "'server.key'" },
      files: { "server.crt": cert, "server.key": key },
      hba: "hostnossl all stowage 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n",
    });
    await server.query(`alter user stowage password '${PASSWORD.replaceAll("'", "''")}'`);
    return server;
  })();
  return secured;
}

/** Whether the connection is encrypted. */
async function connect(url: string, driver: "bun" | "pg", passwordFile?: string): Promise<boolean> {
  const pool = await ConnectionPool.open(postgresAddress(url, {}, passwordFile), poolOptions({ driver }));
  try {
    return await pool.use(async (connection) => {
      const text = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
      const [answer] = await connection.send([{ text, values: [] }]);
      if (!answer || "error" in answer) throw answer?.error ?? new Error("no answer");
      return answer.rows[0]?.["ssl"] as boolean;
    });
  } finally {
    await pool.close();
  }
}

for (const driver of ["bun", "pg"] as const) {
  describe(`a connection by the driver ${driver}`, () => {
    const login = `stowage:${encodeURIComponent(PASSWORD)}`;

    test("is encrypted and verified as sslmode says", async () => {
      const { port } = await securedServer();
      const at = (host: string, parameters: string): string =>
        `postgres://${login}@${host}:${port}/postgres?${parameters}`;
      const accepted = [
        at("localhost", `sslmode=verify-full&sslrootcert=${rightCa}`),
        at("127.0.0.1", `sslmode=verify-ca&sslrootcert=${rightCa}`),
        at("127.0.0.1", "sslmode=require"),
        at("127.0.0.1", "sslmode=prefer"),
      ];
      for (const url of accepted) expect(await connect(url, driver)).toBe(true);
      const refused = [
        at("127.0.0.1", `sslmode=verify-full&sslrootcert=${rightCa}`),
        at("localhost", `sslmode=verify-full&sslrootcert=${wrongCa}`),
        at("127.0.0.1", `sslmode=verify-ca&sslrootcert=${wrongCa}`),
      ];
      for (const url of refused) await expect(connect(url, driver)).rejects.toMatchObject({ code: "08006" });
      expect(await connect(at("127.0.0.1", "sslmode=disable"), driver)).toBe(false);
    });

    test("is refused when it must be encrypted and the server cannot, and made when it need not be", async () => {
      const url = (await sharedServer()).url();
      await expect(connect(`${url}?sslmode=require`, driver)).rejects.toMatchObject({ code: "08006" });
      expect(await connect(`${url}?sslmode=prefer`, driver)).toBe(false);
    });

    test("takes its password from the URL or a file, which is read each time", async () => {
      const { port } = await securedServer();
      const url = `postgres://stowage@127.0.0.1:${port}/postgres?sslmode=require`;
      const file = join(folder, `password-${driver}`);
      await writeFile(file, "wrong\n");
      await expect(connect(url, driver, file)).rejects.toMatchObject({ code: "28P01" });
      await writeFile(file, `${PASSWORD}\n`);
      expect(await connect(url, driver, file)).toBe(true);
      await expect(connect(url.replace("stowage@", "stowage:wrong@"), driver)).rejects.toMatchObject({ code: "28P01" });
    });

    test("goes by a Unix socket", async () => {
      const server = await sharedServer();
      expect(await connect(`postgres://stowage@/postgres?host=${server.folder}&port=${server.port}`, driver)).toBe(
        false,
      );
    });

    test("to nothing is refused, and says so", async () => {
      const url = "postgres://stowage@127.0.0.1:1/postgres";
      await expect(connect(url, driver)).rejects.toMatchObject({ code: "08006" });
    });
  });
}
