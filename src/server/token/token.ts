/** Where tokens are issued: Docker's token protocol (GET) and its OAuth2 form (POST). */
import { JOB_USER } from "../../auth/account-name.ts";
import type { Principal } from "../../auth/identity.ts";
import { nameOf } from "../../auth/policy.ts";
import { formatScope, parseScopes } from "../../auth/scope.ts";
import type { Reason } from "../../auth/verifier.ts";
import { OciError } from "../../oci/error.ts";
import { AccessRefusal } from "../access/access-refusal.ts";
import type { Rejected } from "../../auth/authentication.ts";
import type { Context, ServerOptions, TokenIssuer } from "../context.ts";
import { basicHeader } from "../../auth/credentials.ts";
import { LIMITS } from "../http/limits.ts";
import { json } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";

/**
 * A missing permission is no error: the token then allows less. Wrong credentials are an error. A web page that asks without
 * credentials for what anonymous clients may not have gets a challenge, because its browser asks the user for a password
 * only then, and a page cannot do that by itself.
 */
export async function getToken(context: Context): Promise<Reply> {
  const { request, options, parameters } = context;
  const header = request.headers.get("authorization");
  const principal = header === null ? undefined : await login(context, header);
  const { service } = issuerOf(options);
  const scopes = parseScopes(parameters.getAll("scope"));
  const issued = await service.issue(principal, scopes);
  if (header === null && scopes.length > 0 && issued.access.length === 0 && isFromPage(context)) throw loginRequired();
  const reply = {
    token: issued.token,
    access_token: issued.token,
    expires_in: issued.lifetimeMs / 1000,
    issued_at: issued.issuedAt.toISOString(),
    ...(parameters.get("offline_token") === "true" ? await refreshToken(options, principal) : {}),
  };
  return tokenReply(reply, principal);
}

export async function postToken(context: Context): Promise<Reply> {
  const { options, body } = context;
  const form = new URLSearchParams(Buffer.from(await body.readSmall(LIMITS.maxFormBytes, formTooLarge)).toString());
  const principal = await loginByGrant(context, form);
  const { service } = issuerOf(options);
  const issued = await service.issue(principal, parseScopes(form.getAll("scope")));
  const wantsRefreshToken =
    form.get("grant_type") === "password" &&
    (form.get("offline_token") === "true" || form.get("access_type") === "offline");
  const reply = {
    token: issued.token,
    access_token: issued.token,
    token_type: "Bearer",
    scope: issued.access.map(formatScope).join(" "),
    expires_in: issued.lifetimeMs / 1000,
    issued_at: issued.issuedAt.toISOString(),
    ...(wantsRefreshToken ? await refreshToken(options, principal) : {}),
  };
  return tokenReply(reply, principal);
}

/**
 * Whether the browser of a page that may read the answer sends this (Fetch Metadata Request Headers; Fetch standard, "CORS
 * protocol"). Other programs that fetch say neither where they are nor where they come from.
 */
function isFromPage({ request: { headers }, options }: Context): boolean {
  const origin = headers.get("origin");
  if (origin !== null && options.commonHeaders.crossOrigin?.allows(origin, "GET")) return true;
  const site = headers.get("sec-fetch-site");
  return site === "same-origin" || site === "none";
}

/** The routes lead here for no registry that issues no tokens. */
export function issuerOf({ tokens }: ServerOptions): TokenIssuer {
  if (!tokens) throw new Error("this registry issues no tokens");
  return tokens;
}

/** By which a job of a CI system exchanges its own token (RFC 8693): that is its password. */
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

async function loginByGrant(context: Context, form: URLSearchParams): Promise<Principal> {
  switch (form.get("grant_type")) {
    case "password": {
      const name = form.get("username") ?? "";
      // In a header a name ends at its first colon (RFC 7617, 2): it is not to be read as another one.
      if (name.includes(":"))
        throw wrongCredentials({ kind: "rejected", scheme: "basic", reason: "unknown user", name });
      return await login(context, basicHeader(name, form.get("password") ?? ""));
    }
    case "refresh_token":
      return await loginByRefreshToken(context, form.get("refresh_token") ?? "");
    case EXCHANGE:
      return await login(context, basicHeader(JOB_USER, form.get("subject_token") ?? ""));
    default:
      throw new OciError("UNSUPPORTED", {
        status: 400,
        message: `grant_type must be password, refresh_token or ${EXCHANGE}`,
      });
  }
}

/** By name and password alone: tokens are not exchanged for others. */
async function login({ options, caller }: Context, header: string): Promise<Principal> {
  const outcome = await issuerOf(options).authentication.authenticate(header, caller.address);
  if (outcome.kind === "rejected") throw wrongCredentials(outcome);
  const { principal, access } = outcome.proof;
  if (access) throw wrongCredentials({ kind: "rejected", scheme: "bearer", reason: "unsupported" });
  return principal;
}

async function loginByRefreshToken({ options }: Context, token: string): Promise<Principal> {
  const { service, refreshTokens } = issuerOf(options);
  if (!refreshTokens) throw wrongCredentials(wrongRefreshToken("unsupported"));
  const verdict = await service.redeem(token);
  if (verdict.kind === "rejection") throw wrongCredentials(wrongRefreshToken(verdict.reason));
  const { principal, basis, generation } = verdict;
  if (principal && (await basis.isAt(generation))) return principal;
  throw wrongCredentials(wrongRefreshToken("changed", principal));
}

function wrongRefreshToken(reason: Reason, owner?: Principal): Rejected {
  return { kind: "rejected", scheme: "bearer", reason, name: owner && nameOf(owner) };
}

/** Users and robots get one: a job's own token is what lives as long as the job. */
async function refreshToken(
  options: ServerOptions,
  principal: Principal,
): Promise<{ readonly refresh_token?: string }> {
  const { service, refreshTokens } = issuerOf(options);
  if (!refreshTokens || !principal || principal.kind === "job") return {};
  return { refresh_token: await service.issueRefreshToken(principal) };
}

function tokenReply(value: object, principal: Principal): Reply {
  return { ...json(200, value, { "cache-control": "no-store" }), user: principal && nameOf(principal) };
}

const LOGIN_CHALLENGE = { "www-authenticate": 'Basic realm="stowage"' } as const;

function loginRequired(): AccessRefusal {
  const message = "nothing of that scope is open to those who show no credentials: log in";
  return new AccessRefusal(new OciError("UNAUTHORIZED", { message }), LOGIN_CHALLENGE, {});
}

/** The same for an unknown name and a wrong password. */
function wrongCredentials(rejected: Rejected): AccessRefusal {
  const { refusal, name } = rejected;
  const client = { user: name, rejected };
  if (refusal) return new AccessRefusal(refusal, {}, client);
  return new AccessRefusal(
    new OciError("UNAUTHORIZED", { message: "wrong user name, password or token" }),
    LOGIN_CHALLENGE,
    client,
  );
}

function formTooLarge(): OciError {
  return new OciError("SIZE_INVALID", { status: 413, message: `a form may have at most ${LIMITS.maxFormBytes} bytes` });
}
