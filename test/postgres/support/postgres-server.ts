/** A PostgreSQL server of the tests: the programs that Debian installs, on a port of its own, gone with the process. */
import { existsSync, readdirSync } from "node:fs";
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConnectionPool } from "../../../src/metadata/postgres/connection-pool.ts";
import { openPostgres } from "../../../src/metadata/postgres/open-postgres.ts";
import { PostgresEngine } from "../../../src/metadata/postgres/postgres-engine.ts";
import { POSTGRES_MIGRATIONS } from "../../../src/metadata/migrations/migrations.ts";
import { postgresAddress } from "../../../src/lib/postgres-address.ts";
import { freePorts } from "../../support/free-ports.ts";

/** PostgreSQL refuses to run as root. */
const NOBODY = 65_534;

const PROGRAMS = "/usr/lib/postgresql";

export interface PostgresServerOptions {
  /** Lines of `postgresql.conf`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What `pg_hba.conf` says; any client on this machine when absent. */
  readonly hba?: string;
  /** Files of the data folder, which only the server may read. */
  readonly files?: Readonly<Record<string, string>>;
}

export class PostgresServer {
  readonly port: number;
  /** The folder with its data and its Unix socket. */
  readonly folder: string;
  #process: Bun.Subprocess | undefined;
  #databases = 0;
  #template: Promise<string> | undefined;

  private constructor(port: number, folder: string) {
    this.port = port;
    this.folder = folder;
  }

  static async start({ settings = {}, hba, files = {} }: PostgresServerOptions = {}): Promise<PostgresServer> {
    const folder = await mkdtemp("/tmp/stowage-pg-");
    const [port = 0] = await freePorts(1);
    const server = new PostgresServer(port, folder);
    await chown(folder, NOBODY, NOBODY);
    const initdb = asNobody([program("initdb"), "-D", join(folder, "data"), "-U", "stowage", "-A", "trust"]);
    const made = Bun.spawnSync([...initdb, "-E", "UTF8", "--locale=C", "--no-sync"], { cwd: "/" });
    if (!made.success) throw new Error(`initdb failed: ${made.stderr.toString()}`);
    const all = {
      listen_addresses: "'127.0.0.1'",
      port: String(port),
      unix_socket_directories: `'${folder}'`,
      max_connections: "200",
      // What a power loss would cost is not what these tests are about, but that a commit waits is.
      fsync: "off",
      // It would visit each of hundreds of databases, one after the other, all the time.
      autovacuum: "off",
      ...settings,
    };
    const lines = Object.entries(all).map(([name, value]) => `${name} = ${value}\n`);
    await writeFile(join(folder, "data/postgresql.auto.conf"), lines.join(""));
    if (hba !== undefined) await writeFile(join(folder, "data/pg_hba.conf"), hba);
    for (const [name, content] of Object.entries(files)) {
      const path = join(folder, "data", name);
      await writeFile(path, content);
      await chown(path, NOBODY, NOBODY);
      await chmod(path, 0o600);
    }
    await server.run();
    return server;
  }

  /** The address of a database, by TCP. */
  url(database = "postgres"): string {
    return `postgres://stowage@127.0.0.1:${this.port}/${database}`;
  }

  /** Makes an empty database and returns its URL. */
  createDatabase(): Promise<string> {
    return this.#copy("template1");
  }

  /** Makes a database with the tables of a registry, and nothing in them, and returns its URL. */
  async createMigratedDatabase(): Promise<string> {
    this.#template ??= this.#migrate();
    return await this.#copy(await this.#template);
  }

  async #copy(template: string): Promise<string> {
    const name = `test_${process.pid}_${this.#databases++}`;
    await this.query(`create database ${name} template ${template}`);
    return this.url(name);
  }

  /** The name of a database that was migrated once for all its copies, which takes longer than to copy it. */
  async #migrate(): Promise<string> {
    const name = `migrated_${process.pid}`;
    await this.query(`create database ${name}`);
    await (await openPostgres({ url: this.url(name), connections: 1 })).close();
    return name;
  }

  /** Runs one statement as the superuser and returns its rows. */
  async query(text: string, database = "postgres"): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const pool = await poolOf(this.url(database), 1);
    try {
      return await pool.use(async (connection) => {
        const [answer] = await connection.send([{ text, values: [] }]);
        if (!answer || "error" in answer) throw answer?.error ?? new Error("no answer");
        return answer.rows;
      });
    } finally {
      await pool.close();
    }
  }

  /** Starts the server, and resolves when it answers. */
  async run(): Promise<void> {
    const command = ["sh", "-c", RUN_SERVER, program("postgres"), this.folder, String(process.pid)];
    this.#process = Bun.spawn(asNobody(command), {
      cwd: "/",
      stdout: "ignore",
      stderr: Bun.file(join(this.folder, "log")),
    });
    const deadline = performance.now() + 30_000;
    while (performance.now() < deadline) {
      if (this.#process.exitCode !== null) break;
      const isReady = await this.query("select 1").then(
        () => true,
        (error: unknown) => (error as { code?: string }).code?.startsWith("28"), // it asks for a password: it answers
      );
      if (isReady) return;
      await sleep(20);
    }
    throw new Error(`PostgreSQL did not start: ${await readFile(join(this.folder, "log"), "utf8")}`);
  }

  /** Ends the server: all connections are told so; with "crash" it recovers at the next start. */
  async stop(how: "fast" | "crash" = "fast"): Promise<void> {
    this.#process?.kill(how === "fast" ? "SIGINT" : "SIGQUIT");
    await this.#process?.exited;
  }

  /** Ends the server for good, and removes its folder. */
  async end(): Promise<void> {
    await this.stop("crash");
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Stops and continues every process of the server: it is there, and does not answer. */
  async signalBackends(signal: "SIGSTOP" | "SIGCONT"): Promise<void> {
    const [server = ""] = await childrenOf(String(this.#process?.pid));
    for (const pid of [server, ...(await childrenOf(server))]) process.kill(Number(pid), signal);
  }
}

async function childrenOf(pid: string): Promise<readonly string[]> {
  return (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ");
}

let shared: Promise<PostgresServer> | undefined;

/** One server for all tests of the process. */
export function sharedServer(): Promise<PostgresServer> {
  return (shared ??= PostgresServer.start());
}

/** An engine without what a server does in the background, by the driver of the runtime when none is named. */
export function openEngine(url: string, driver?: "bun" | "pg"): Promise<PostgresEngine> {
  const options = poolOptions({ migrations: POSTGRES_MIGRATIONS, connections: 4, driver });
  return PostgresEngine.open(postgresAddress(url), options);
}

/** A pool as the engine has one. */
export function poolOf(url: string, connections: number, driver?: "bun" | "pg"): Promise<ConnectionPool> {
  return ConnectionPool.open(postgresAddress(url), poolOptions({ connections, driver }));
}

export function poolOptions<More extends object>(more: More): More & typeof POOL {
  return { ...POOL, ...more };
}

const POOL = {
  connections: 10,
  connectTimeoutMs: 5000,
  acquireTimeoutMs: 10_000,
  statementTimeoutMs: 20_000,
  preparedStatements: true,
  retryLimitMs: 10_000,
};

/** Runs the server ($0) on the folder ($1), which goes with the test process ($2). */
const RUN_SERVER = `
  "$0" -D "$1/data" & server=$!
  trap 'kill -INT $server' INT
  trap 'kill -QUIT $server' QUIT
  while kill -0 $server 2>/dev/null; do wait $server; done
  sleep 0.1
  [ -d "/proc/$2" ] || rm -rf "$1"`;

/** The server dies with the test process, however that ends. */
function asNobody(command: readonly string[]): string[] {
  const ids = process.getuid?.() === 0 ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : [];
  return ["setpriv", ...ids, "--pdeathsig", "INT", ...command];
}

function program(name: string): string {
  const versions = existsSync(PROGRAMS) ? readdirSync(PROGRAMS).toSorted((a, b) => Number(b) - Number(a)) : [];
  const found = versions.map((version) => join(PROGRAMS, version, "bin", name)).find((path) => existsSync(path));
  const path = found ?? Bun.which(name);
  if (!path) throw new Error(`${name} is missing: install the packages of .ci/debian-packages`);
  return path;
}
