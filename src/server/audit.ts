/** The audit: a line of the log for each change that clients make, for each login that fails, and for what is not allowed. */
import { randomUUID } from "node:crypto";
import type { Authorization } from "../auth/authorization.ts";
import type { Action } from "../auth/identity.ts";
import { nameOf } from "../auth/policy.ts";
import { REASONS } from "../auth/verifier.ts";
import type { Reason } from "../auth/verifier.ts";
import { escapeControls } from "../lib/control-characters.ts";
import type { Logger } from "../observe/logger.ts";
import type { Cause } from "../registry/namespace.ts";
import type { AccessRefusal, RefusedPermission } from "./access/access-refusal.ts";
import type { RequiredAction } from "./access/required-permission.ts";
import type { ChangeEvent } from "./change-event.ts";
import type { Context } from "./context.ts";
import type { Reply } from "./http/reply.ts";
import type { Route } from "./routes.ts";

/** A request and its client. */
type AuditedRequest = Pick<Context, "request" | "caller" | "options">;

/** What a request changed. */
export type Change = Pick<ChangeEvent, "action" | "object" | "repository" | "digest" | "tags">;

/** A reply that says what the request changed, where route and method do not. */
export interface AuditedReply extends Reply {
  readonly changes?: readonly Change[];
}

const RIGHTS: Readonly<Record<ChangeEvent["action"], Action>> = {
  push: "push",
  mount: "push",
  sign: "push",
  delete: "delete",
};

/** Looks whether the request that was answered so changed something, and tells of it. */
export function auditChange(context: Context, route: Route, reply: AuditedReply, log: Logger): void {
  const change = changeIn(context, route, reply);
  for (const each of change ? [change] : (reply.changes ?? [])) auditOne(context, each, log);
}

function auditOne(context: Context, change: Change, log: Logger): void {
  const { authorization, options } = context;
  const event: ChangeEvent = {
    ...change,
    ...circumstancesOf(context),
    who: nameOf(authorization.principal),
    rule: authorization.decide(RIGHTS[change.action], change.repository).by,
  };
  log.info({ audit: event }, sentenceOf(event));
  try {
    options.onChange?.(event);
  } catch (error) {
    log.error({ err: error }, "a listener to changes failed");
  }
}

/** Who makes the changes of a request, and what allows them, for events and the audit table. */
export function causeOf(
  { request, caller, options }: AuditedRequest,
  authorization: Authorization,
  { action, repository }: RequiredAction,
): Cause {
  const { principal } = authorization;
  const { method, headers } = request;
  return {
    who: nameOf(principal),
    rule: authorization.decide(action, repository).by,
    request: {
      id: randomUUID(),
      address: caller.address,
      host: headers.get("host") ?? "",
      base: options.origins.baseOf(request, caller) + options.origins.prefix,
      method,
      userAgent: headers.get("user-agent") ?? "",
      user: principal && nameOf(principal),
    },
  };
}

/** A failed login, or a missing permission. */
interface RefusalEvent extends Circumstances {
  readonly action: "login" | RefusedPermission["action"];
  readonly outcome: "refused";
  /** The principal, or the name that was tried. */
  readonly who: string;
  readonly repository?: string;
  /** Why a login failed. */
  readonly reason?: Reason;
  /** What refused a permission. */
  readonly rule?: string;
}

/** Logs a failed login or a missing permission. */
export function auditRefusal({ client }: AccessRefusal, asked: AuditedRequest, log: Logger): void {
  const { user, rejected, denied } = client;
  const circumstances = circumstancesOf(asked);
  const from = asked.caller.address ?? "a Unix socket";
  if (rejected?.name !== undefined) {
    const { reason } = rejected;
    const event: RefusalEvent = { action: "login", outcome: "refused", who: user ?? "", ...circumstances, reason };
    log.warn({ audit: event }, escapeControls(`${event.who} could not log in from ${from}: ${REASONS[reason]}`));
  } else if (denied && user !== undefined) {
    const event: RefusalEvent = { ...denied, outcome: "refused", who: user, ...circumstances };
    const { action, repository } = denied;
    const ofAll = action === "admin" ? "administer the registry" : "list repositories";
    const what = repository === undefined ? ofAll : `${action} ${repository}`;
    log.info({ audit: event }, escapeControls(`${user} may not ${what}, and tried to from ${from}`));
  }
}

/** What an event says of the request that it is about. */
type Circumstances = Pick<ChangeEvent, "id" | "time" | "address" | "userAgent">;

function circumstancesOf({ request, caller, options }: AuditedRequest): Circumstances {
  return {
    id: randomUUID(),
    time: new Date(options.clock.now()),
    address: caller.address,
    userAgent: request.headers.get("user-agent") ?? undefined,
  };
}

function changeIn({ request, parameters }: Context, route: Route, { status, headers }: Reply): Change | undefined {
  const { method } = request;
  if (method === "GET" || method === "HEAD" || status >= 300) return undefined;
  if (!("name" in route)) return undefined;
  const { name: repository } = route;
  const digest = headers["docker-content-digest"] ?? "";
  switch (route.kind) {
    case "uploads":
      if (status !== 201) return undefined;
      return { action: parameters.get("mount") === digest ? "mount" : "push", object: "blob", repository, digest };
    case "upload":
      return status === 201 ? { action: "push", object: "blob", repository, digest } : undefined;
    case "blob":
      return { action: "delete", object: "blob", repository, digest: route.digest };
    case "signatures":
      return { action: "sign", object: "manifest", repository, digest: route.digest };
    case "manifest": {
      const { reference } = route;
      if (method === "PUT") {
        const tags = [...(reference.kind === "tag" ? [reference.tag] : []), ...parameters.getAll("tag")];
        return { action: "push", object: "manifest", repository, digest, ...(tags.length > 0 && { tags }) };
      }
      return reference.kind === "tag"
        ? { action: "delete", object: "tag", repository, tags: [reference.tag] }
        : { action: "delete", object: "manifest", repository, digest: reference.digest };
    }
    default:
      return undefined;
  }
}

const VERBS: Readonly<Record<ChangeEvent["action"], string>> = {
  push: "pushed",
  mount: "mounted",
  delete: "deleted",
  sign: "signed",
};

/** One line of plain text: an issuer of tokens may write whatever it likes into the name of a job. */
function sentenceOf({ who, action, object, repository, digest, tags = [] }: ChangeEvent): string {
  const names = tags.map((tag) => ` ${repository}:${tag}`).join("");
  const what = names === "" ? ` ${repository}@${digest ?? ""}` : names;
  return escapeControls(`${who} ${VERBS[action]} the ${object}${what}`);
}
