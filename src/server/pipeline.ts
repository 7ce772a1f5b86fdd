/**
 * The path of every request: it is parsed, authorized, answered from the cache or by a handler, and finished. A response from the
 * cache takes the same path, without a promise as long as nothing has to be awaited.
 */
import type { Authorization } from "../auth/authorization.ts";
import { nameOf } from "../auth/policy.ts";
import type { Logger } from "../observe/logger.ts";
import { BrokenBodyError } from "../lib/broken-body-error.ts";
import type { Namespace } from "../registry/namespace.ts";
import { AccessRefusal } from "./access/access-refusal.ts";
import { auditChange, auditRefusal, causeOf } from "./audit.ts";
import type { AuditedReply } from "./audit.ts";
import type { Context, ServerOptions } from "./context.ts";
import { RequestBody } from "./http/body.ts";
import { withDefaults } from "./http/common-headers.ts";
import { RefusedWithHeaders, internalErrorReply, refusalIn, refusalReply } from "./http/error-reply.ts";
import type { Handler } from "./http/handler.ts";
import { belowPrefix } from "./http/links.ts";
import { problemReply } from "./http/problem-reply.ts";
import { fullReply, replyTo } from "./http/representation.ts";
import type { Representation } from "./http/representation.ts";
import { empty } from "./http/reply.ts";
import type { Reply } from "./http/reply.ts";
import { requestIdOf } from "./http/request-id.ts";
import { parametersOf, targetOf } from "./http/request-target.ts";
import { getHealth, getReady } from "./ops/health.ts";
import { getWelcome } from "./ops/welcome.ts";
import { parseRequest, registryPath } from "./parsed-request.ts";
import type { ParsedRequest } from "./parsed-request.ts";
import { tellPull } from "./pulls.ts";
import type { CachedResponse } from "./cached-response.ts";
import { ResponseCache, replyFrom } from "./response-cache.ts";
import { isApiPath } from "./routes.ts";
import type { Route } from "./routes.ts";
import { getKeys } from "./token/keys.ts";
import { getToken, postToken } from "./token/token.ts";
import { getBase } from "./v2/base.ts";
import { deleteBlob, getBlob } from "./v2/blobs.ts";
import { getCatalog } from "./v2/catalog.ts";
import { deleteManifest, getManifest, putManifest } from "./v2/manifests.ts";
import { getReferrers } from "./v2/referrers.ts";
import { getSignatures, putSignature } from "./v2/signatures.ts";
import { getTags } from "./v2/tags.ts";
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from "./v2/uploads.ts";

/** What the handler of all requests works with. */
export interface HandlerParts {
  readonly namespace: Namespace;
  readonly options: ServerOptions;
  readonly log: Logger;
}

/** A request on its way. */
interface PendingRequest extends Pick<Context, "request" | "caller" | "options"> {
  readonly id: string;
  readonly onBodyReceived: (() => void) | undefined;
  /** Undefined while nothing asks for it. */
  body: RequestBody | undefined;
  /** What it asks for, once that is known. */
  parsed: ParsedRequest | undefined;
  /** The principal's name, once it is known. */
  user: string | undefined;
}

export function createHandler({ namespace, options, log }: HandlerParts): Handler {
  const cache = new ResponseCache(namespace);
  const { crossOrigin } = options.commonHeaders;
  const { requests, metrics } = options.measured ?? {};

  return (request, onBodyReceived, peer) => {
    const caller = options.origins.callerOf(request, peer);
    const asked: PendingRequest = {
      id: requestIdOf(request),
      request,
      caller,
      options,
      onBodyReceived,
      body: undefined,
      parsed: undefined,
      user: undefined,
    };
    try {
      const reply = answer(asked);
      return reply instanceof Promise ? finishLater(reply, asked) : finish(reply, asked);
    } catch (error) {
      return finish(errorReply(error, asked), asked);
    }
  };

  async function finishLater(reply: Promise<Reply>, asked: PendingRequest): Promise<Reply> {
    const handler = asked.parsed?.route.kind;
    requests?.begin(handler);
    try {
      const made = await reply.catch((error: unknown) => errorReply(error, asked));
      return await finish(made, asked);
    } finally {
      requests?.end(handler);
    }
  }

  function answer(asked: PendingRequest): Reply | Promise<Reply> {
    const cached = cache.find(asked.request);
    const parsed = cached?.parsed ?? parseRequest(asked.request, options);
    asked.parsed = parsed;
    const authorization = authorize(asked, parsed);
    if (!(authorization instanceof Promise)) return respond(asked, parsed, cached, authorization);
    bodyOf(asked).begin(); // the client has nothing more to send while its password is verified
    return authorization.then((known) => respond(asked, parsed, cached, known));
  }

  /** Throws the refusal of a request that is not allowed, or of a principal that exceeds its read rate limit. */
  function authorize(asked: PendingRequest, parsed: ParsedRequest): Authorization | Promise<Authorization> {
    const authorized = options.authorizer.authorize(asked.request, parsed.required, asked.caller);
    return authorized instanceof Promise
      ? authorized.then((authorization) => countRead(authorization, asked, parsed))
      : countRead(authorized, asked, parsed);
  }

  function countRead(authorization: Authorization, asked: PendingRequest, { route }: ParsedRequest): Authorization {
    const { principal } = authorization;
    if (principal) asked.user = nameOf(principal);
    options.live.readLimits?.take(asked.request, route, asked.caller, principal);
    return authorization;
  }

  function respond(
    asked: PendingRequest,
    parsed: ParsedRequest,
    cached: CachedResponse | undefined,
    authorization: Authorization,
  ): Reply | Promise<Reply> {
    if (!cached) return runHandler(asked, parsed, authorization);
    const isValid = cache.isValid(cached);
    if (isValid === true) return replyFromCache(cached, asked);
    if (isValid === false) return runHandler(asked, parsed, authorization);
    return isValid.then((known) => (known ? replyFromCache(cached, asked) : runHandler(asked, parsed, authorization)));
  }

  function replyFromCache(cached: CachedResponse, { request }: PendingRequest): Reply {
    metrics?.countRead({ isCached: true });
    return replyFrom(cached, request);
  }

  /** Lets a handler answer; what it returns of a resource is cached. */
  async function runHandler(
    asked: PendingRequest,
    parsed: ParsedRequest,
    authorization: Authorization,
  ): Promise<Reply> {
    const { request, caller } = asked;
    const { route, required } = parsed;
    if (route.kind === "preflight") return empty(204, crossOrigin?.preflightHeaders(route.methods));
    if ("refusal" in route) throw route.refusal;
    const body = bodyOf(asked);
    body.begin();
    const madeFrom = isRead(request) ? await cache.currentRevision(parsed) : undefined;
    const parameters = parametersOf(targetOf(request.url));
    const isRecorded = options.recordsChanges && !isRead(request);
    const cause = isRecorded && required.kind === "action" ? causeOf(asked, authorization, required) : undefined;
    const changed = cause ? namespace.causedBy(cause) : namespace;
    const context: Context = { namespace: changed, options, request, caller, authorization, cause, body, parameters };
    const made = await handle(context, route);
    if ("status" in made) {
      auditChange(context, route, made, log);
      return made;
    }
    if (made.cacheable === undefined || madeFrom === undefined) return replyTo(request, made);
    metrics?.countRead({ isCached: false });
    const full = addCommonHeaders(fullReply(made), asked);
    const shared = { headers: { web: new Headers(full.headers) }, answered: {} };
    const response = { parsed, representation: made, full: { ...full, shared }, madeFrom };
    cache.set(request, response);
    return replyFrom(response, request);
  }

  function errorReply(error: unknown, asked: PendingRequest): Reply {
    const [cause, headers] = error instanceof RefusedWithHeaders ? [error.cause, error.headers] : [error, {}];
    const refusal = refusalIn(cause);
    if (!refusal || refusal.cause !== undefined) logCause(log, asked, cause);
    const isOfApi = isApiPath(registryPath(asked.request, options));
    const reply = isOfApi
      ? problemReply(refusal, headers, asked.id)
      : refusal
        ? refusalReply(refusal, headers)
        : internalErrorReply();
    if (!(error instanceof AccessRefusal)) return reply;
    auditRefusal(error, asked, log);
    const { rejected, denied, user } = error.client;
    metrics?.refusals.add(1, denied ? "denied" : rejected ? "rejected" : "unauthenticated");
    return { ...reply, user };
  }

  function finish(reply: Reply, asked: PendingRequest): Reply | Promise<Reply> {
    if (options.pulls) tellPull(options.pulls, reply, asked);
    if (reply.status < 400 || asked.request.body === null) return addLogFields(reply, asked);
    // A client that is still sending does not listen: take the rest of it before a refusal, or close.
    return bodyOf(asked)
      .drain()
      .then((isDrained) => {
        const close = isDrained ? {} : { connection: "close" };
        return addLogFields({ ...reply, headers: { ...reply.headers, ...close } }, asked);
      });
  }

  /** Adds the headers that the reply lacks, and what the log says of the client. */
  function addLogFields(reply: Reply, asked: PendingRequest): Reply {
    const { id: requestId, request, caller, user } = asked;
    const completed = reply.shared ? reply : addCommonHeaders(reply, asked);
    const logged = { ...completed, requestId, address: caller.address, user: completed.user ?? user };
    const ofOrigin = crossOrigin?.headersFor(request);
    if (!ofOrigin) return logged;
    const { shared: _, headers, ...rest } = logged; // its headers are shared by all responses
    return { ...rest, headers: { ...headers, ...ofOrigin } };
  }

  /** Adds the headers that every reply has, and what metrics say of it. */
  function addCommonHeaders(reply: Reply, { request, parsed, body }: PendingRequest): Reply {
    const common = parsed?.commonHeaders ?? options.commonHeaders.at(registryPath(request, options));
    const headers = withDefaults(belowPrefix(reply.headers, options.origins.prefix), common);
    const route = parsed?.route;
    const repository = route && "name" in route ? route.name : undefined;
    return { ...reply, headers, handler: route?.kind, repository, received: body?.received };
  }
}

/** Whether the response may be cached: a write asks for no revision. */
function isRead({ method }: Request): boolean {
  return method === "GET" || method === "HEAD";
}

function bodyOf(asked: PendingRequest): RequestBody {
  return (asked.body ??= new RequestBody(asked.request, asked.onBodyReceived));
}

async function handle(context: Context, route: Route): Promise<AuditedReply | Representation> {
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
    case "api": {
      const { answerApi } = await import("./api/api.ts"); // loaded with the first request to it
      return await answerApi(context, route);
    }
    case "welcome":
      return acceptsHtml(context.request) ? await page(context) : getWelcome(context);
    case "page":
      return await page(context);
    case "page-file": {
      const { getPageFile } = await import("./page/page.ts"); // loaded with the first request to the page
      return getPageFile(context, route);
    }
    case "health":
      return getHealth();
    case "ready":
      return await getReady(context);
  }
}

async function page(context: Context): Promise<Representation> {
  const { getPage } = await import("./page/page.ts");
  return getPage(context);
}

/** Whether a browser asks, which names this type in its navigations alone. */
function acceptsHtml({ headers }: Request): boolean {
  return /\btext\/html\b/i.test(headers.get("accept") ?? "");
}

/** Says once why something failed. A client that went away is no failure. */
function logCause(log: Logger, { id, request }: PendingRequest, error: unknown): void {
  const fields = { err: error, "http.request.id": id, method: request.method, url: request.url };
  if (error instanceof BrokenBodyError) log.debug(fields, "the client went away");
  else log.error(fields, "a request failed");
}
