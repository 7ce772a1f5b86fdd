/** `stowage serve`: the registry on a socket. */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { folderPath } from "../lib/folder-path.ts";
import { pause } from "../lib/pause.ts";
import type { Logs, ServerLogs } from "../observe/logs.ts";
import type { Tracing } from "../observe/tracing.ts";
import { createDebugHandler } from "../server/ops/debug.ts";
import type { HealthChecks } from "../server/ops/health-checks.ts";
import { listen } from "../server/listen/listen.ts";
import type { Listening } from "../server/listen/listen.ts";
import { VERSION } from "../version.ts";
import { accessWarnings, checkAccessFiles } from "./access-checks.ts";
import { asksForLogin, provideAccess } from "./access.ts";
import { addressOf } from "./address.ts";
import { provideCertificate } from "./certificate.ts";
import type { ProvidedCertificate } from "./certificate.ts";
import { readCommandLine } from "./command-line.ts";
import { heedDrainSignals } from "./drain-signals.ts";
import { accessByOthers } from "./folder-access.ts";
import { exposures, greeting } from "./greeting.ts";
import type { Greeted } from "./greeting.ts";
import { idleTlsWarning, listenForClients, refused } from "./listen-for-clients.ts";
import { notReadyBecause, startHealthChecks } from "./health.ts";
import { openRegistry } from "./open-registry.ts";
import { readAtScrapes } from "./readings.ts";
import { Reloader, applySettings } from "./reload.ts";
import { raiseRequestLimit } from "./request-limit.ts";
import { countedBy, logsFor, stopListening } from "./serving.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { heedStopSignals } from "./stop-signals.ts";
import type { StopSignals } from "./stop-signals.ts";
import { startTracing, tracedHandler } from "./tracing.ts";
import { surviveUnexpectedErrors } from "./unexpected-errors.ts";
import { countWorkers } from "./worker-count.ts";
import { Workers, startWorkers } from "./workers.ts";

const HELP = `stowage serve [CONFIG.yml] [options]: runs the registry server until it gets a stop signal

${SETTINGS_HELP}

SIGTERM or SIGINT: closes the port, lets running requests finish for up to 25 seconds, exits with 0. A second signal
exits at once. SIGHUP: reads the settings again, puts in force what can change while the server runs, and logs what needs a
restart. Certificates and password files are reloaded when they change, without a signal.
`;

/** Resolves with the exit code when the server was stopped by a signal. */
export async function serve(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const line = readCommandLine(args, { help: HELP, options: SETTINGS_OPTIONS, maxWords: 1 });
  if (!line) return 0;
  const { values, positionals } = line;
  const read = () => settingsFrom(values, environment, positionals[0]);
  const { settings, warnings } = read();
  raiseRequestLimit(settings);
  const logs = await logsFor(settings);
  try {
    const signals = heedStopSignals(logs, environment);
    await serveUntilStopped({ settings, warnings, logs, signals, environment, read: () => read().settings });
  } finally {
    await logs.end();
  }
  return 0;
}

interface ServeParts {
  readonly settings: Settings;
  readonly warnings: readonly string[];
  readonly logs: ServerLogs;
  readonly signals: StopSignals;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Reads the settings again. Throws `CommandError` when one is wrong. */
  readonly read: () => Settings;
}

async function serveUntilStopped({ settings, warnings, logs, signals, environment, read }: ServeParts): Promise<void> {
  const { log } = logs;
  for (const warning of warnings) log.warn(warning);
  const workers = countWorkers(settings, { platform: process.platform, cores: availableParallelism() });

  checkAccessFiles(settings);
  await provideAccess(settings, log);
  let checks = startHealthChecks(settings.health, log);
  const notReady = (): string | undefined => notReadyBecause(checks);
  const tracing = await startTracing(environment, log);
  const { auditFails } = logs;
  const observer = tracing?.calls;
  const registry = await openRegistry(settings, log, { serving: true, auditFails, notReady, observer });
  const { metrics } = registry;
  logs.onDropped((dropped) => metrics.countDroppedLines(dropped));
  surviveUnexpectedErrors(log, () => metrics.countUnexpectedError());
  const failed = async (error: unknown): Promise<never> => {
    await registry.close();
    throw error;
  };
  const certificate = await provideCertificate(settings, registry, log).catch(failed);
  const served = certificate ? withCertificate(settings, certificate) : settings;
  const failing = (): ReadonlyMap<string, string> => checks.failing;
  const listening = await listenOn(served, workers.count, registry, logs, { failing, tracing }).catch(
    async (error: unknown) => {
      await certificate?.stop();
      return await failed(error);
    },
  );
  const { clients, watchers } = listening;
  const setHealthChecks = (started: HealthChecks): void => {
    checks[Symbol.dispose]();
    checks = started;
  };
  const reloader = new Reloader(settings, log, {
    read,
    async apply(changed) {
      await applySettings(changed, { registry, logs, setHealthChecks });
      clients.reconfigure?.(certificate ? withCertificate(changed, certificate) : changed);
    },
  });
  signals.serving(() => void reloader.reload()); // before the start is announced
  heedDrainSignals((isDraining) => drain(isDraining, registry, clients));
  const greeted = await greetedOf(served, listening);
  const { url, debugUrl, dataFolder } = greeted;
  logs.greet(greeting(greeted), { version: VERSION, url, debugUrl, dataFolder }, `Listening on ${url}`);
  for (const exposure of exposures(greeted)) log.warn(exposure);
  const others = accessByOthers(greeted.dataFolder);
  if (others) log[others.isExposed ? "warn" : "info"](others.message);
  for (const warning of await accessWarnings(settings, registry)) log.warn(warning);
  const idleTls = idleTlsWarning(settings);
  if (idleTls !== undefined) log.warn(idleTls);
  if (workers.warning !== undefined) log.warn(workers.warning);
  const stopping = new AbortController();
  if (registry.requests) readAtScrapes(served, registry, stopping.signal);
  const { enabled, interval } = settings.gc;
  const collecting = registry.collectInBackground({ enabled, intervalMs: interval }, stopping.signal);
  const working = registry.runJobsInBackground(stopping.signal);
  const adopting = registry.adoptInBackground(stopping.signal);
  const auditing = registry.auditCommands(stopping.signal);
  const notifying = registry.sendEvents(stopping.signal);
  const stoppingPulls = new AbortController();
  const tellingPulls = registry.sendPulls(stoppingPulls.signal);
  const renewing = certificate?.renewInBackground(stopping.signal);
  const { bytespersecond, pause: pauseMs } = settings.scrub;
  const scrubbing =
    bytespersecond > 0 && registry.scrubInBackground({ bytesPerSecond: bytespersecond, pauseMs }, stopping.signal);
  const failure = await (clients.failed ? Promise.race([signals.stopped, clients.failed]) : signals.stopped);
  if (!failure && settings.http.draindelay > 0) {
    drain(true, registry, clients);
    await pause(settings.http.draindelay);
  }
  stopping.abort();
  checks[Symbol.dispose]();
  await stopListening(clients, log);
  await tracing?.stop();
  await watchers?.stop();
  await certificate?.stop();
  stoppingPulls.abort(); // the last requests were pulls, too
  await Promise.all([collecting, working, adopting, auditing, notifying, tellingPulls, scrubbing, renewing]);
  await registry.close();
  if (failure) throw failure;
  log.info("stopped");
}

/** As if the settings named its file. */
function withCertificate(settings: Settings, { path }: ProvidedCertificate): Settings {
  const { letsencrypt: _, ...tls } = settings.http.tls;
  return { ...settings, http: { ...settings.http, tls: { ...tls, certificate: path, key: path } } };
}

/** Has this process and its workers drain, or no longer. */
function drain(isDraining: boolean, { readiness }: Registry, clients: Addresses["clients"]): void {
  readiness.isDraining = isDraining;
  if (clients instanceof Workers) clients.drain(isDraining);
}

interface Addresses {
  /** Served by this process or by workers. */
  readonly clients: Listening & Partial<Workers>;
  /** Undefined when nothing listens there. */
  readonly watchers: Listening | undefined;
}

/** Listens for clients, and for machines that watch where the settings say so. */
async function listenOn(
  settings: Settings,
  workers: number,
  registry: Registry,
  logs: Logs,
  { failing, tracing }: { readonly failing: () => ReadonlyMap<string, string>; readonly tracing: Tracing | undefined },
): Promise<Addresses> {
  const clients = await (workers > 1
    ? startWorkers(workers, settings, logs)
    : listenForClients(settings, tracedHandler(tracing, registry.handle), countedBy(registry, logs)));
  const { addr, prometheus } = settings.http.debug;
  if (addr === undefined) return { clients, watchers: undefined };
  const counted = clients instanceof Workers ? () => clients.counted() : undefined;
  const debugHandler = createDebugHandler({
    metricsPath: prometheus.enabled ? prometheus.path : undefined,
    metricsText: () => registry.metrics.text(counted),
    failing,
    readiness: () => registry.readiness.ask(),
    drain: (isDraining) => drain(isDraining, registry, clients),
  });
  // Monitoring requests every few seconds are not logged.
  const watchers = await listen(addressOf(addr), debugHandler, { log: logs.log })
    .catch(refused("http.debug.addr"))
    .catch(async (error: unknown) => {
      await clients.stop();
      throw error;
    });
  return { clients, watchers };
}

async function greetedOf(settings: Settings, { clients, watchers }: Addresses): Promise<Greeted> {
  const { policies, http } = settings;
  const asksWho = asksForLogin(settings);
  const needsCertificate = http.tls.clientcas.length > 0 && http.tls.clientauth === "require-and-verify-client-cert";
  return {
    url: clients.url,
    publicUrl: http.host ?? (await certifiedUrl(settings, clients.url)),
    debugUrl: watchers?.url,
    dataFolder: folderPath(settings.storage.filesystem.rootdirectory),
    guarded: asksWho || policies !== undefined || needsCertificate,
    sendsSecrets: asksWho,
    behindProxy: http.trustedproxies.length > 0,
  };
}

/** The server's address by the first name that its certificate is for; undefined without TLS, or when that has no name. */
async function certifiedUrl({ http }: Settings, url: string): Promise<string | undefined> {
  const { certificate } = http.tls;
  if (certificate === undefined || !url.startsWith("https:")) return undefined;
  const names = new X509Certificate(await readFile(certificate)).subjectAltName?.match(/(?<=DNS:)[\w.-]+/g);
  if (!names?.[0] || names.includes("localhost")) return undefined;
  const address = new URL(url);
  address.hostname = names[0];
  return address.origin;
}
