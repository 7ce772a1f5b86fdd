/** `stowage explain`: whether a principal may do something, which rule decides, and what else stands in the way. */
import type { Action } from "../auth/identity.ts";
import type { Decision } from "../auth/policy.ts";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { escapeControls } from "../lib/control-characters.ts";
import { glob } from "../lib/glob.ts";
import { formatSize } from "../lib/size.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import { parseTag } from "../oci/tag.ts";
import type { Tag } from "../oci/tag.ts";
import { silentLogger } from "../observe/logger.ts";
import { CommandError, failingWith2 } from "./command-error.ts";
import { readCommandLine } from "./command-line.ts";
import { openRegistry } from "./open-registry.ts";
import { repositoryIn } from "./parsed-names.ts";
import { print } from "./print.ts";
import { SETTINGS_HELP, SETTINGS_OPTIONS, settingsFrom } from "./settings-options.ts";

const HELP = `stowage explain NAME ACTION REPOSITORY[:TAG] [options]: says whether a user, robot or CI job may do something,
and which rule decides

  stowage explain alice push team/app:v1.0
  stowage explain robot:ci delete team/app
  stowage explain anonymous pull public/base
  stowage explain job push team/app            which CI jobs may push (setting auth.oidc)

ACTION is pull, push, delete or admin. Considers policies, token grants, protected tags and quotas.

Exit code: 0 yes, 1 no, 2 unknown name or error.

${SETTINGS_HELP}
`;

const ACTIONS: readonly Action[] = ["pull", "push", "delete", "admin"];

/** Any CI job, as a NAME: what a job may do depends on the claims in its token. */
const JOB = "job";

interface Question {
  readonly name: string;
  readonly action: Action;
  readonly repository: RepositoryName;
  readonly tag: Tag | undefined;
}

export async function explain(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return await failingWith2(async () => {
    const line = readCommandLine(args, { help: HELP, options: SETTINGS_OPTIONS, maxWords: 3 });
    if (!line) return 0;
    const { values, positionals } = line;
    const question = questionIn(positionals);
    const { settings } = settingsFrom(values, environment);
    const options = { mustExist: true, serving: true, quotas: false }; // servers may run with other quotas
    await using registry = await openRegistry(settings, silentLogger(), options);
    const decision =
      question.name === JOB
        ? jobDecision(settings, question)
        : await registry.explain(question.name, question.action, question.repository);
    if (!decision) {
      throw new CommandError(`there is no user ${question.name}: write robots as robot:NAME, and CI jobs as job`);
    }
    const obstacle = decision.allowed ? await obstacleTo(registry, settings, question) : undefined;
    const { allowed, by } = decision;
    const refusedBy = allowed ? obstacle && `${obstacle} (the rules allow it: ${by})` : by;
    print(refusedBy === undefined ? `yes: ${escapeControls(by)}\n` : `no: ${escapeControls(refusedBy)}\n`);
    return refusedBy === undefined ? 0 : 1;
  });
}

function questionIn([name, word, text]: readonly string[]): Question {
  if (name === undefined || word === undefined || text === undefined) {
    throw new CommandError("explain takes a name, an action and a repository: stowage explain alice push team/app:v1");
  }
  const action = ACTIONS.find((each) => each === word);
  if (!action) throw new CommandError(`${word} is not an action: write one of ${ACTIONS.join(", ")}`);
  const colon = text.indexOf(":");
  if (colon < 0) return { name, action, repository: repositoryIn(text), tag: undefined };
  const tag = parseTag(text.slice(colon + 1));
  if (tag === undefined) throw new CommandError(`${text} has no tag behind its colon: write it like team/app:v1`);
  return { name, action, repository: repositoryIn(text.slice(0, colon)), tag };
}

/** What the rules about CI jobs say: which claims a token needs. */
function jobDecision({ auth }: Settings, { action, repository }: Question): Decision {
  const fitting = auth.oidc.flatMap(({ issuer, rules }, at) =>
    rules.flatMap(({ claims, repositories, actions }, index) =>
      actions.includes(action) && repositories.some((pattern) => glob(pattern)(repository))
        ? [`auth.oidc.${at}.rules.${index}, for jobs of ${issuer} with ${JSON.stringify(claims)}`]
        : [],
    ),
  );
  if (fitting.length > 0) return { allowed: true, by: fitting.join("; and by ") };
  return { allowed: false, by: "auth.oidc: no rule allows it" };
}

/** What refuses that the rules allow: a protected tag that would move or go, or a quota that is full. */
async function obstacleTo(
  registry: Registry,
  { protectedtags, quotas }: Settings,
  { action, repository, tag }: Question,
): Promise<string | undefined> {
  const changes = action === "push" || action === "delete";
  if (changes && tag !== undefined && (await registry.namespace.repository(repository).tags.exists(tag))) {
    const at = protectedtags.findIndex(
      (entry) =>
        entry.repositories.some((pattern) => glob(pattern)(repository)) &&
        entry.tags.some((pattern) => glob(pattern)(tag)),
    );
    if (at >= 0) return `protectedtags.${at}: ${repository}:${tag} exists and is immutable`;
  }
  if (action !== "push") return undefined;
  for (const [at, { prefix, ...limits }] of quotas.entries()) {
    if (prefix !== "*" && repository !== prefix && !repository.startsWith(`${prefix}/`)) continue;
    const used = await registry.quotaUsage(prefix);
    if (!used) continue;
    if (limits.bytes !== undefined && used.bytes >= limits.bytes) {
      return `quotas.${at}: ${formatSize(used.bytes)} of ${formatSize(limits.bytes)} are used below ${prefix}`;
    }
    if (limits.tags !== undefined && used.tags >= limits.tags && !(await isThere(registry, repository, tag))) {
      return `quotas.${at}: ${used.tags} of ${limits.tags} tags are used below ${prefix}`;
    }
  }
  return undefined;
}

/** Whether a push would not add a tag: it names none, or one that is there. */
async function isThere(registry: Registry, repository: RepositoryName, tag: Tag | undefined): Promise<boolean> {
  return tag === undefined || (await registry.namespace.repository(repository).tags.exists(tag));
}
