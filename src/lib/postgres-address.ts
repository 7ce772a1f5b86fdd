/** Where a PostgreSQL server is and how to log in there: an URL, and the variables of libpq for what the URL leaves out. */
import { parseUrl } from "./parse-url.ts";

const TLS_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;

/** How far a connection is encrypted and the server's certificate is verified, in libpq's words (`sslmode`). */
export type PostgresTlsMode = (typeof TLS_MODES)[number];

export interface PostgresAddress {
  /** A name, an IP address, or the absolute path of the folder with the server's Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  /** Undefined when the server is asked without one. */
  readonly password: string | undefined;
  /** A file with the password, which is read for each connection. Wins over `password`. */
  readonly passwordFile: string | undefined;
  readonly tls: {
    readonly mode: PostgresTlsMode;
    /** Files in PEM. */
    readonly rootCertificate: string | undefined;
    readonly certificate: string | undefined;
    readonly key: string | undefined;
  };
  /** The name of this client in the server's `pg_stat_activity`. */
  readonly applicationName: string;
}

/** The address cannot be used; the message says why and what to write instead. It has no password in it. */
export class PostgresAddressError extends Error {
  override readonly name = "PostgresAddressError";
}

const DEFAULT_PORT = 5432;

/** Parameters of the URL that are read, and the variable that stands in for each. */
const PARAMETERS = {
  host: "PGHOST",
  port: "PGPORT",
  user: "PGUSER",
  password: "PGPASSWORD",
  dbname: "PGDATABASE",
  sslmode: "PGSSLMODE",
  sslrootcert: "PGSSLROOTCERT",
  sslcert: "PGSSLCERT",
  sslkey: "PGSSLKEY",
  application_name: "PGAPPNAME",
} as const;

type Parameter = keyof typeof PARAMETERS;

/** Variables of libpq that would change where or how it connects, and that are not supported. */
const UNSUPPORTED_VARIABLES = ["PGSERVICE", "PGHOSTADDR", "PGOPTIONS", "PGPASSFILE"] as const;

/**
 * Returns the address in a URL such as `postgres://user:password@host:5432/database?sslmode=verify-full`; what it leaves out
 * comes from the variables of libpq (`PGHOST`, `PGUSER`, …). Throws `PostgresAddressError`.
 */
export function postgresAddress(
  text: string,
  environment: Readonly<Record<string, string | undefined>> = {},
  passwordFile?: string,
): PostgresAddress {
  const given = { ...variablesOf(environment), ...parametersOf(text) };
  const { host = "localhost", user, password, sslmode = defaultMode(host) } = given;
  if (user === undefined) {
    throw new PostgresAddressError("no user is named: write postgres://USER@HOST/DATABASE, or set PGUSER");
  }
  if (host.includes(",")) throw new PostgresAddressError("several hosts are not supported: name one host or proxy");
  const mode = TLS_MODES.find((each) => each === sslmode);
  if (!mode) throw new PostgresAddressError(`sslmode is ${sslmode}: expected one of ${TLS_MODES.join(", ")}`);
  if ((given.sslcert === undefined) !== (given.sslkey === undefined)) {
    throw new PostgresAddressError("sslcert and sslkey are set together, or neither of them");
  }
  return {
    host,
    port: portIn(given.port),
    user,
    database: given.dbname ?? user,
    password,
    passwordFile,
    tls: {
      mode,
      rootCertificate: given.sslrootcert,
      certificate: given.sslcert,
      key: given.sslkey,
    },
    applicationName: given.application_name ?? "stowage",
  };
}

/** On this machine, TLS protects nothing; elsewhere libpq's default sends passwords to any server: ours does not. */
function defaultMode(host: string): PostgresTlsMode {
  const isLocal = host.startsWith("/") || ["localhost", "127.0.0.1", "::1", "[::1]"].includes(host);
  return isLocal ? "disable" : "prefer";
}

function portIn(text: string | undefined): number {
  if (text === undefined) return DEFAULT_PORT;
  const port = Number(text);
  if (/^\d+$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new PostgresAddressError(`the port is ${text}: expected a number from 1 to 65535`);
}

function variablesOf(environment: Readonly<Record<string, string | undefined>>): Partial<Record<Parameter, string>> {
  for (const name of UNSUPPORTED_VARIABLES) {
    if (environment[name]) throw new PostgresAddressError(`${name} is not supported: unset it, and say it in the URL`);
  }
  const found: Partial<Record<Parameter, string>> = {};
  for (const [parameter, variable] of Object.entries(PARAMETERS)) {
    const value = environment[variable];
    if (value) found[parameter as Parameter] = value;
  }
  return found;
}

function parametersOf(text: string): Partial<Record<Parameter, string>> {
  // The URL of a socket has no host, and an URL with a user and without a host is none to `new URL`.
  const withHost = text.replace(/^(postgres(?:ql)?:\/\/(?:[^@/?]*@)?)(?=[/?]|$)/, "$1absent.invalid");
  const url = parseUrl(withHost);
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol)) {
    throw new PostgresAddressError("expected an URL such as postgres://user@host:5432/database");
  }
  const found: Partial<Record<Parameter, string>> = {};
  const put = (parameter: Parameter, value: string): void => {
    if (value !== "") found[parameter] = value;
  };
  if (url.hostname !== "absent.invalid") put("host", decoded(url.hostname).replace(/^\[(.*)\]$/, "$1"));
  put("port", url.port);
  put("user", decoded(url.username));
  put("password", decoded(url.password));
  put("dbname", decoded(url.pathname.replace(/^\//, "")));
  for (const [name, value] of url.searchParams) {
    if (!Object.hasOwn(PARAMETERS, name)) {
      const known = Object.keys(PARAMETERS).join(", ");
      throw new PostgresAddressError(`the parameter ${name} of the URL is not supported; these are: ${known}`);
    }
    put(name as Parameter, value);
  }
  return found;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new PostgresAddressError("a percent sign in the URL is not followed by two digits: write %25 for itself");
  }
}
