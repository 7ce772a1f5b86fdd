/** `stowage events`: how far the endpoints of notifications are, and dead letters. */
import type { Registry } from "../create-registry.ts";
import type { DeadEvent } from "../metadata/outbox.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError } from "./command-error.ts";
import { readCommandLine, readVerb } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { print } from "./print.ts";
import { recordOperation } from "./record-operation.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";
import { moment, table } from "./table.ts";
import { workingIn } from "./working-in.ts";

const HELP = `stowage events status|list|retry|discard [ID…] [options]: events for the endpoints of notifications

  stowage events status               how many events wait for each endpoint of the settings
  stowage events list                 dead letters: events that an endpoint did not take
  stowage events retry 17 18          send dead letters again, with the same event ids
  stowage events retry --all          send all of them again
  stowage events discard 17           delete dead letters

A running server sends them; retry works while it runs and before its start.

  --endpoint NAME       only dead letters of this endpoint
  --all                 all dead letters, for retry and discard
  --json                print JSON, one object per line

${SETTINGS_HELP}
`;

interface Asked {
  readonly registry: Registry;
  readonly words: readonly string[];
  readonly endpoint: string | undefined;
  readonly all: boolean;
  readonly asJson: boolean;
}

const VERBS: Readonly<Record<string, (asked: Asked) => Promise<void>>> = {
  status,
  list,
  retry: (asked) => change(asked, "retry", (ids) => asked.registry.retryDeadEvents(ids)),
  discard: (asked) => change(asked, "discard", (ids) => asked.registry.removeDeadEvents(ids)),
};

export async function events(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  const options = {
    ...SETTINGS_OPTIONS,
    endpoint: { type: "string" },
    all: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  } as const;
  const line = readCommandLine(args, { help: HELP, options, maxWords: Infinity });
  if (!line) return 0;
  const { values, positionals } = line;
  const { act, words } = readVerb("events", VERBS, positionals);
  const { settings } = settingsFrom(values, environment);
  await using registry = await openRegistry(settings, silentLogger(), { mustExist: true });
  const { endpoint, all, json: asJson } = values;
  await workingIn(settings, () => act({ registry, words, endpoint, all, asJson }));
  return 0;
}

async function status({ registry, words, asJson }: Asked): Promise<void> {
  refuseWords("status", words);
  const endpoints = await registry.eventEndpoints();
  if (asJson) {
    for (const { name, pending, oldest, dead } of endpoints) {
      print(`${JSON.stringify({ endpoint: name, pending, oldest: oldest && isoTime(oldest), dead })}\n`);
    }
    return;
  }
  const rows = endpoints.map(({ name, pending, oldest, dead }) => [
    name,
    `${pending}`,
    oldest === undefined ? "" : moment(oldest),
    `${dead}`,
  ]);
  print(table(["ENDPOINT", "WAITING", "SINCE", "DEAD"], rows));
}

async function list({ registry, words, endpoint, asJson }: Asked): Promise<void> {
  refuseWords("list", words);
  const rows: string[][] = [];
  for await (const dead of registry.deadEvents(endpoint)) {
    if (asJson) print(`${JSON.stringify(described(dead))}\n`);
    else {
      const { action, target } = eventOf(dead);
      const what = `${action} ${target.repository}${target.tag === undefined ? "" : `:${target.tag}`}`;
      const state = dead.isDue ? "waits to be sent again" : dead.reason;
      rows.push([`${dead.id}`, dead.endpoint, moment(dead.diedAt), what, `${dead.attempts}`, state]);
    }
  }
  if (!asJson) print(table(["ID", "ENDPOINT", "TIME", "EVENT", "TRIES", "REASON"], rows));
}

async function change(
  { registry, words, endpoint, all }: Asked,
  verb: "retry" | "discard",
  act: (ids: readonly number[]) => Promise<number>,
): Promise<void> {
  if (all === words.length > 0) {
    throw new CommandError(
      `events ${verb} takes ids of dead letters, or --all: stowage events list shows them (for example events ${verb} 17)`,
    );
  }
  const ids = all ? await idsOf(registry, endpoint) : words.map(idIn);
  const count = await act(ids);
  if (!all && count < new Set(ids).size) {
    throw new CommandError(`${count} of ${ids.length} ids are dead letters: stowage events list shows them`);
  }
  await recordOperation(registry, "events", verb, ...(all ? ["--all"] : words));
  print(`${count} dead ${count === 1 ? "letter" : "letters"} ${verb === "retry" ? "will be sent again" : "deleted"}\n`);
}

async function idsOf(registry: Registry, endpoint: string | undefined): Promise<readonly number[]> {
  const ids: number[] = [];
  for await (const { id } of registry.deadEvents(endpoint)) ids.push(id);
  return ids;
}

function idIn(word: string): number {
  if (/^\d{1,15}$/.test(word)) return Number(word);
  throw new CommandError(`${word} is no id of a dead letter: stowage events list shows them`);
}

function refuseWords(verb: string, [word]: readonly string[]): void {
  if (word !== undefined) throw new CommandError(`events ${verb} takes no arguments: did you mean --endpoint ${word}?`);
}

interface ShownEvent {
  readonly id: string;
  readonly action: string;
  readonly target: { readonly repository: string; readonly tag?: string };
}

function eventOf({ payload }: DeadEvent): ShownEvent {
  return JSON.parse(payload) as ShownEvent;
}

function described(dead: DeadEvent): object {
  const { id, endpoint, seq, diedAt, attempts, reason, isDue } = dead;
  return { id, endpoint, seq, diedAt: isoTime(diedAt), attempts, reason, due: isDue, event: eventOf(dead) };
}

function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
