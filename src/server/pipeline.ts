/** From a request to a reply: the one place that routes, and the one that catches. */
import { OciError } from "../oci/error.ts";
import type { Authorization } from "../auth/authorization.ts";
import { nameOf } from "../auth/policy.ts";
import type { Logger } from "../observe/logger.ts";
import type { Namespace } from "../registry/namespace.ts";
import { BrokenBodyError } from "../registry/broken-body-error.ts";
import { AccessRefusal } from "./access/access-refusal.ts";
import { auditChange, auditRefusal } from "./audit.ts";
import { RequestBody } from "./http/body.ts";
import { withDefaults } from "./http/common-headers.ts";
import type { Context, ServerOptions } from "./context.ts";
import { RefusedWithHeaders, faultReply, refusalIn, refusalReply } from "./http/error-reply.ts";
import { getHealth, getReady } from "./ops/health.ts";
import { getWelcome } from "./ops/welcome.ts";
import type { Handler } from "./http/handler.ts";
import { belowPrefix } from "./http/links.ts";
import type { Caller } from "./http/origin.ts";
import { empty } from "./http/reply.ts";
import type { Reply } from "./http/reply.ts";
import { ReplyCache } from "./response-cache.ts";
import type { KeptReply } from "./response-cache.ts";
import { requiredPermission } from "./access/required-permission.ts";
import type { RequiredPermission } from "./access/required-permission.ts";
import { hasUsableHost, parametersOf, pathOf, targetOf } from "./http/request-target.ts";
import { getKeys } from "./token/keys.ts";
import { getToken, postToken } from "./token/token.ts";
import { METHODS, isAmbiguous, parseRoute, pathBelow } from "./routes.ts";
import type { Route } from "./routes.ts";
import { getBase } from "./v2/base.ts";
import { deleteBlob, getBlob } from "./v2/blobs.ts";
import { getCatalog } from "./v2/catalog.ts";
import { deleteManifest, getManifest, putManifest } from "./v2/manifests.ts";
import { getReferrers } from "./v2/referrers.ts";
import { getSignatures, putSignature } from "./v2/signatures.ts";
import { getTags } from "./v2/tags.ts";
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from "./v2/uploads.ts";

/** A path that names no endpoint, for those outside of the registry. */
const OUTSIDE = "";

/** What the handler of all requests works with. */
export interface HandlerParts {
  readonly namespace: Namespace;
  readonly options: ServerOptions;
  readonly log: Logger;
  /** Another number as soon as something was committed. */
  readonly revision: () => number;
}

export function createHandler({ namespace, options, log, revision }: HandlerParts): Handler {
  const replies = new ReplyCache(revision);
  const { crossOrigin } = options.commonHeaders;

  return (request, whole, peer) => {
    const caller = options.origins.callerOf(request, peer);
    const kept = replies.find(request);
    const reply = kept ? answerAgain(kept, request, caller) : answer(request, caller, whole);
    if (!crossOrigin) return reply;
    return reply instanceof Promise ? reply.then((made) => forOrigin(made, request)) : forOrigin(reply, request);
  };

  /** With the headers that only the origin which asks is told. */
  function forOrigin(reply: Reply, request: Request): Reply {
    const more = crossOrigin?.headersFor(request);
    if (!more) return reply;
    const { webHeaders: _, ...rest } = reply; // those are everybody's
    return { ...rest, headers: { ...reply.headers, ...more } };
  }

  async function answer(request: Request, caller: Caller, whole?: () => void): Promise<Reply> {
    const known = replies.knownFor(request);
    const { prefix } = options.origins;
    const target = targetOf(request.url);
    const path = pathBelow(prefix, pathOf(target)) ?? OUTSIDE;
    const parameters = parametersOf(target);
    const body = new RequestBody(request, whole);
    const route = parseRoute(path);
    const asked = { namespace, options, request, caller, body, parameters };
    const reply = await dispatch(asked, route, path, log).catch((error: unknown) => errorReply(error, asked, log));
    // A client that is still sending does not listen: take the rest of it before a refusal, or close.
    const close = reply.status >= 400 && !(await body.drain()) ? { connection: "close" } : {};
    const common = options.commonHeaders.at(path);
    const headers = withDefaults({ ...belowPrefix(reply.headers, prefix), ...close }, common);
    if (!route || known === undefined || !reply.holds) return { ...reply, headers, address: caller.address };
    const lasting: Reply = {
      ...reply,
      headers,
      webHeaders: new Headers(headers),
      ...(reply.adapted && { adapted: adaptedWithHeaders(reply.adapted, common) }),
    };
    replies.keep(
      request,
      { route, required: requiredPermission(request, route), commonHeaders: common },
      lasting,
      known,
    );
    return { ...lasting, address: caller.address };
  }

  /** What others were answered is for whoever may have it. */
  function answerAgain(kept: KeptReply, request: Request, caller: Caller): Reply | Promise<Reply> {
    const asked = { request, caller, options };
    const given = ({ principal }: Authorization): Reply => ({
      ...kept.give(request),
      address: caller.address,
      user: principal && nameOf(principal),
    });
    const refused = (error: unknown): Reply => ({
      ...withHeaders(errorReply(error, asked, log), kept.commonHeaders),
      address: caller.address,
    });
    try {
      const authorized = authorize(asked, kept);
      return authorized instanceof Promise ? authorized.then(given).catch(refused) : given(authorized);
    } catch (error) {
      return refused(error);
    }
  }
}

function withHeaders(reply: Reply, defaults: Readonly<Record<string, string>>): Reply {
  return { ...reply, headers: withDefaults(reply.headers, defaults) };
}

/** Made apart from any request, for it outlives them. */
function adaptedWithHeaders(
  adapted: (request: Request) => Reply,
  headers: Readonly<Record<string, string>>,
): (request: Request) => Reply {
  return (request) => withHeaders(adapted(request), headers);
}

/** A request, as far as it is known before it is authorized. */
type Asked = Pick<Context, "request" | "caller" | "options">;

function errorReply(error: unknown, asked: Asked, log: Logger): Reply {
  const [cause, headers] = error instanceof RefusedWithHeaders ? [error.cause, error.headers] : [error, {}];
  const refusal = refusalIn(cause);
  if (!refusal || refusal.cause !== undefined) logCause(log, asked.request, cause);
  const reply = refusal ? refusalReply(refusal, headers) : faultReply();
  if (!(error instanceof AccessRefusal)) return reply;
  auditRefusal(error, asked, log);
  return { ...reply, user: error.client.user };
}

async function dispatch(
  asked: Omit<Context, "authorization">,
  route: Route | undefined,
  path: string,
  log: Logger,
): Promise<Reply> {
  const { request, options } = asked;
  if (request.method === "CONNECT") throw unsupportedMethod("CONNECT", METHODS.welcome); // it names a host, not a path
  // "A server MUST respond with a 400 … to any … request message that contains more than one Host" (RFC 9112, 3.2).
  if (!hasUsableHost(request)) {
    throw new OciError("UNSUPPORTED", { status: 400, message: "the request has no usable Host header" });
  }
  options.otherSites?.refuse(request);
  if (!route || !isServed(route, options)) throw unknownPath(path);
  const allowed = METHODS[route.kind];
  // A browser asks before it sends what a page of another origin wants sent, and it asks without credentials.
  const { crossOrigin } = options.commonHeaders;
  if (request.method === "OPTIONS" && crossOrigin) return empty(204, crossOrigin.preflightHeaders(allowed));
  if (!allowed.includes(request.method)) throw unsupportedMethod(request.method, allowed);
  if (request.method === "DELETE" && route.kind !== "upload" && !options.deleteEnabled) {
    throw deleteDisabled(allowed.filter((method) => method !== "DELETE"));
  }
  const authorized = authorize(asked, { route, required: requiredPermission(request, route) });
  const context = { ...asked, authorization: authorized instanceof Promise ? await authorized : authorized };
  const { principal } = context.authorization;
  const reply = await handle(context, route).catch((error: unknown) => errorReply(error, asked, log));
  auditChange(context, route, reply, log);
  return { ...reply, user: reply.user ?? (principal && nameOf(principal)) };
}

/** What a request asks for. */
interface Question {
  readonly route: Route;
  readonly required: RequiredPermission;
}

/** Refused when it is not allowed, or the principal has read too much; at once where nothing has to be looked up. */
function authorize(
  { request, caller, options }: Asked,
  { route, required }: Question,
): Authorization | Promise<Authorization> {
  const counted = (authorization: Authorization): Authorization => {
    options.readLimits?.take(request, route, caller, authorization.principal);
    return authorization;
  };
  const authorized = options.authorizer.authorize(request, required, caller);
  return authorized instanceof Promise ? authorized.then(counted) : counted(authorized);
}

/** Whether the settings leave this endpoint on. */
function isServed({ kind }: Route, options: ServerOptions): boolean {
  if (kind === "signatures") return options.signaturesEnabled;
  return (kind !== "token" && kind !== "keys") || options.tokens !== undefined;
}

async function handle(context: Context, route: Route): Promise<Reply> {
  const { method } = context.request;
  switch (route.kind) {
    case "base":
      return getBase(context);
    case "catalog":
      return await getCatalog(context);
    case "blob":
      return await (method === "DELETE" ? deleteBlob : getBlob)(context, route);
    case "uploads":
      return await postUpload(context, route);
    case "upload":
      switch (method) {
        case "PATCH":
          return await patchUpload(context, route);
        case "PUT":
          return await putUpload(context, route);
        case "DELETE":
          return await deleteUpload(context, route);
        default:
          return await getUpload(context, route);
      }
    case "manifest":
      switch (method) {
        case "PUT":
          return await putManifest(context, route);
        case "DELETE":
          return await deleteManifest(context, route);
        default:
          return await getManifest(context, route);
      }
    case "tags":
      return await getTags(context, route);
    case "referrers":
      return await getReferrers(context, route);
    case "signatures":
      return await (method === "PUT" ? putSignature : getSignatures)(context, route);
    case "token":
      return await (method === "POST" ? postToken : getToken)(context);
    case "keys":
      return await getKeys(context);
    case "welcome":
      return getWelcome(context);
    case "health":
      return getHealth();
    case "ready":
      return await getReady(context);
  }
}

function unknownPath(path: string): OciError {
  if (isAmbiguous(path)) {
    const message = "there is nothing at a path that holds a backslash or a dot segment (. or ..), raw or encoded";
    return new OciError("UNSUPPORTED", { status: 404, message });
  }
  // What hides slashes or leaves parts empty was meant as a name that cannot be.
  if (path.startsWith("/v2/") && /\/\/|%2f|%00/i.test(path)) return new OciError("NAME_UNKNOWN");
  return new OciError("UNSUPPORTED", { status: 404, message: "there is nothing at this path" });
}

/** "The origin server MUST generate an Allow header field in a 405" (RFC 9110, 15.5.6). */
function unsupportedMethod(method: string, allowed: readonly string[]): RefusedWithHeaders {
  const message = `${method} is not possible here: use ${allowed.join(" or ")}`;
  return new RefusedWithHeaders(new OciError("UNSUPPORTED", { message }), { allow: allowed.join(", ") });
}

function deleteDisabled(others: readonly string[]): RefusedWithHeaders {
  const message = "deleting is switched off on this registry (storage.delete.enabled)";
  return new RefusedWithHeaders(new OciError("UNSUPPORTED", { message }), { allow: others.join(", ") });
}

/** Says once why something failed. A client that went away is no failure. */
function logCause(log: Logger, request: Request, error: unknown): void {
  const fields = { err: error, method: request.method, url: request.url };
  if (error instanceof BrokenBodyError) log.debug(fields, "the client went away");
  else log.error(fields, "a request failed");
}
