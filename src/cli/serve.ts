/** `stowage serve`: the registry on a socket. */
import { resolve } from "node:path";
import { parseAddress } from "../config/schema.ts";
import type { Settings } from "../config/schema.ts";
import { createLogger } from "../observe/logger.ts";
import type { Logger } from "../observe/logger.ts";
import { listen } from "../server/listen.ts";
import { VERSION } from "../version.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { explained, openRegistry } from "./open-registry.ts";
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
  const log = createLogger({
    level: settings.log.level,
    format: (settings.log.formatter ?? (process.stdout.isTTY ? "text" : "json")) === "text" ? "text" : "json",
  });
  for (const warning of warnings) log.warn(warning);

  const registry = await openRegistry(settings, log);
  const address = parseAddress(settings.http.addr);
  if (!address) throw new CommandError(`${settings.http.addr} is no address`);
  const listening = await listen(address, registry.handle, log)
    .catch(explained)
    .catch(async (error: unknown) => {
      await registry.close();
      throw error;
    });
  const stopped = stopSignal(log); // before anybody is told that it is up
  process.stdout.write(greeting(settings, listening.url));
  const stopping = new AbortController();
  const { enabled, interval } = settings.gc;
  const collecting = registry.collectInBackground({ enabled, intervalMs: interval }, stopping.signal);
  const { bytespersecond, pause } = settings.scrub;
  const scrubbing =
    bytespersecond > 0 &&
    registry.scrubInBackground({ bytesPerSecond: bytespersecond, pauseMs: pause }, stopping.signal);
  await stopped;
  stopping.abort();
  const left = await listening.stop();
  if (left > 0) log.warn({ requests: left }, "some requests did not finish in time");
  await Promise.all([collecting, scrubbing]);
  await registry.close();
  log.info("stopped");
  return 0;
}

/** What a person wants to know first. */
function greeting(settings: Settings, url: string): string {
  const lines = [
    `Stowage ${VERSION}`,
    `  Listening on ${url}`,
    `  Data lies in ${resolve(settings.storage.filesystem.rootdirectory)}`,
  ];
  if (!url.startsWith("http"))
    return `${[...lines, `  Try it: curl --unix-socket ${url.slice(5)} http://localhost/v2/`].join("\n")}\n\n`;
  const { host, hostname, port } = new URL(url);
  const everywhere = hostname === "0.0.0.0" || hostname === "[::]";
  const loopback = hostname === "localhost" || hostname === "[::1]" || hostname.startsWith("127.");
  const name = everywhere ? `localhost:${port}` : host;
  lines.push(
    "",
    "  A first push:",
    `    docker pull busybox && docker tag busybox ${name}/busybox && docker push ${name}/busybox`,
  );
  if (!loopback) {
    lines.push(
      "",
      "  Anyone who reaches this address can read, write and delete everything, in the clear.",
      "  Docker on other machines needs this line in its /etc/docker/daemon.json (and a restart):",
      `    { "insecure-registries": ["${everywhere ? `THIS-MACHINE:${port}` : host}"] }`,
    );
  }
  return `${lines.join("\n")}\n\n`;
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
