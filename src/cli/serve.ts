/** `stowage serve`: the registry on a socket. */
import { resolve } from "node:path";
import { parseAddress } from "../config/address.ts";
import type { ListenAddress } from "../config/address.ts";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { createLogs } from "../observe/logger.ts";
import type { Logger, Logs } from "../observe/logger.ts";
import { createDebugHandler } from "../server/debug.ts";
import { ListenError, listen } from "../server/listen.ts";
import { TlsError } from "../server/tls.ts";
import type { TlsOptions } from "../server/tls.ts";
import { provideAccess } from "./access.ts";
import { provideCertificate } from "./certificate.ts";
import type { ProvidedCertificate } from "./certificate.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { exposures, greeting } from "./greeting.ts";
import type { Greeted } from "./greeting.ts";
import { openRegistry } from "./open-registry.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage serve [CONFIG.yml] [options]: serves the registry until it is told to stop

${SETTINGS_HELP}

SIGTERM or SIGINT: no new connections, running requests finish, then it ends; a second signal ends it at once.
`;

/** Resolves with the exit code when the server has been told to stop. */
export async function serve(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, HELP, SETTINGS_OPTIONS);
  if (!line) return 0;
  const { values, positionals } = line;
  if (positionals.length > 1) throw new CommandError("serve takes one settings file: stowage serve config.yml");
  const { settings, warnings } = settingsFrom(positionals[0], values, environment);
  const logs = createLogs({
    level: settings.log.level,
    format: (settings.log.formatter ?? (process.stdout.isTTY ? "text" : "json")) === "text" ? "text" : "json",
  });
  const { log } = logs;
  for (const warning of warnings) log.warn(warning);

  await provideAccess(settings, log);
  const registry = await openRegistry(settings, log, { serving: true });
  const failed = async (error: unknown): Promise<never> => {
    await registry.close();
    throw error;
  };
  const certificate = await provideCertificate(settings, registry, log).catch(failed);
  const listening = await listenOn(settings, registry, logs, certificate).catch(async (error: unknown) => {
    await certificate?.stop();
    return await failed(error);
  });
  const stopped = stopSignal(log); // before anybody is told that it is up
  const greeted = greetedOf(settings, listening);
  process.stdout.write(greeting(greeted));
  for (const exposure of exposures(greeted)) log.warn(exposure);
  const stopping = new AbortController();
  const { enabled, interval } = settings.gc;
  const collecting = registry.collectInBackground({ enabled, intervalMs: interval }, stopping.signal);
  const renewing = certificate?.renewInBackground(stopping.signal);
  const { bytespersecond, pause } = settings.scrub;
  const scrubbing =
    bytespersecond > 0 &&
    registry.scrubInBackground({ bytesPerSecond: bytespersecond, pauseMs: pause }, stopping.signal);
  await stopped;
  stopping.abort();
  const left = await listening.stop();
  if (left > 0) log.warn({ requests: left }, "some requests did not finish in time");
  await certificate?.stop();
  await Promise.all([collecting, scrubbing, renewing]);
  await registry.close();
  log.info("stopped");
  return 0;
}

interface Addresses {
  readonly url: string;
  /** Undefined when nothing listens there. */
  readonly debugUrl: string | undefined;
  stop(): Promise<number>;
}

/** Listens for clients, and for machines that watch where the settings say so. */
async function listenOn(
  { http }: Settings,
  registry: Registry,
  logs: Logs,
  provided: ProvidedCertificate | undefined,
): Promise<Addresses> {
  const { addr, prometheus } = http.debug;
  const debugHandler = createDebugHandler(registry.metrics, prometheus.enabled ? prometheus.path : undefined);
  const tls = tlsOf(provided ? { ...http.tls, certificate: provided.path, key: provided.path } : http.tls);
  const wire = { tls, http2: tls ? !http.http2.disabled : http.h2c.enabled };
  const clients = await listen(parsed(http.addr), registry.handle, logs, wire).catch(refused("http.addr"));
  if (addr === undefined) return { ...clients, debugUrl: undefined };
  // Who watches asks every few seconds: that is not logged.
  const watchers = await listen(parsed(addr), debugHandler, { log: logs.log })
    .catch(refused("http.debug.addr"))
    .catch(async (error: unknown) => {
      await clients.stop();
      throw error;
    });
  return {
    url: clients.url,
    debugUrl: watchers.url,
    async stop() {
      const left = await clients.stop();
      await watchers.stop();
      return left;
    },
  };
}

/** Undefined when the settings name no certificate. */
function tlsOf(tls: Settings["http"]["tls"]): TlsOptions | undefined {
  const { certificate, key, clientcas, clientauth, minimumtls, ciphersuites } = tls;
  if (certificate === undefined || key === undefined) {
    const lacking = certificate === undefined ? "http.tls.certificate" : "http.tls.key";
    if ((certificate ?? key ?? clientcas[0]) === undefined) return undefined;
    throw new CommandError(`${lacking} is not set: TLS takes the file of a certificate, and that of its key`);
  }
  return {
    certificate,
    key,
    clientCas: clientcas,
    clientCertificateRequired: clientauth === "require-and-verify-client-cert",
    minimum: minimumtls,
    ciphers: ciphersuites,
  };
}

/** Says by which setting to choose another address. */
function refused(setting: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof TlsError) throw new CommandError(`http.tls: ${error.message}`, { cause: error });
    throw error instanceof ListenError ? new CommandError(`${setting}: ${error.message}`, { cause: error }) : error;
  };
}

function parsed(text: string): ListenAddress {
  const address = parseAddress(text);
  if (!address) throw new CommandError(`${text} is no address`);
  return address;
}

function greetedOf(settings: Settings, { url, debugUrl }: Addresses): Greeted {
  const { auth, policies, http } = settings;
  const asksWho = auth.htpasswd !== undefined || auth.token !== undefined || auth.users.enabled || auth.oidc.length > 0;
  const needsCertificate = http.tls.clientcas.length > 0 && http.tls.clientauth === "require-and-verify-client-cert";
  return {
    url,
    debugUrl,
    dataFolder: resolve(settings.storage.filesystem.rootdirectory),
    guarded: asksWho || policies !== undefined || needsCertificate,
    sendsSecrets: asksWho,
    behindProxy: http.trustedproxies.length > 0,
  };
}

function stopSignal(log: Logger): Promise<void> {
  return new Promise((stop) => {
    let asked = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (asked) process.exit(1);
      asked = true;
      log.info({ signal }, "stopping: running requests finish; send the signal again to end at once");
      stop();
    };
    process.on("SIGTERM", onSignal);
    process.on("SIGINT", onSignal);
  });
}
