/** Where tokens are issued: Docker's token protocol (GET) and its OAuth2 form (POST). */
import type { Identity } from "../../auth/identity.ts";
import { JOB_USER } from "../../auth/account-name.ts";
import type { Who } from "../../auth/policy.ts";
import { formatScope, parseScopes } from "../../auth/scope.ts";
import { OciError } from "../../oci/error.ts";
import type { Context, ServerOptions, TokenDesk } from "../context.ts";
import { parseCredentials } from "../credentials.ts";
import { RefusedWithHeaders } from "../error-reply.ts";
import { LIMITS } from "../limits.ts";
import { json } from "../reply.ts";
import type { Reply } from "../reply.ts";

/** A right that is missing is no error: the token then allows less. Wrong credentials are one. */
export async function getToken(context: Context): Promise<Reply> {
  const { request, options, parameters } = context;
  const credentials = parseCredentials(request.headers.get("authorization"));
  if (credentials.kind === "bearer" || credentials.kind === "unknown") throw wrongCredentials();
  const who = credentials.kind === "none" ? undefined : await prove(context, credentials.name, credentials.password);
  const { service } = deskOf(options);
  const issued = await service.issue(who, parseScopes(parameters.getAll("scope")));
  return tokenReply({
    token: issued.token,
    access_token: issued.token,
    expires_in: issued.lifetimeMs / 1000,
    issued_at: issued.issuedAt.toISOString(),
    ...(parameters.get("offline_token") === "true" ? await refreshToken(service, who) : {}),
  });
}

export async function postToken(context: Context): Promise<Reply> {
  const { options, body } = context;
  const form = new URLSearchParams(Buffer.from(await body.readSmall(LIMITS.maxFormBytes, formTooLarge)).toString());
  const who = await proveByGrant(context, form);
  const { service } = deskOf(options);
  const issued = await service.issue(who, parseScopes(form.getAll("scope")));
  const wantsRefreshToken = form.get("access_type") === "offline" && form.get("grant_type") === "password";
  return tokenReply({
    token: issued.token,
    access_token: issued.token,
    token_type: "Bearer",
    scope: issued.access.map(formatScope).join(" "),
    expires_in: issued.lifetimeMs / 1000,
    issued_at: issued.issuedAt.toISOString(),
    ...(wantsRefreshToken ? await refreshToken(service, who) : {}),
  });
}

/** The desk of a registry that has one: the routes lead here for no other. */
export function deskOf({ tokens }: ServerOptions): TokenDesk {
  if (!tokens) throw new Error("this registry issues no tokens");
  return tokens;
}

/** Whom a job that another system vouches for logs in as (RFC 8693): the token is its password. */
const EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

async function proveByGrant(context: Context, form: URLSearchParams): Promise<Who> {
  switch (form.get("grant_type")) {
    case "password": {
      const [name, password] = [form.get("username") ?? "", form.get("password") ?? ""];
      return name === "" && password === "" ? undefined : await prove(context, name, password);
    }
    case "refresh_token": {
      const who = await deskOf(context.options).service.redeem(form.get("refresh_token") ?? "");
      if (!who) throw wrongCredentials();
      return who;
    }
    case EXCHANGE:
      return await prove(context, JOB_USER, form.get("subject_token") ?? "");
    default:
      throw new OciError("UNSUPPORTED", {
        status: 400,
        message: `grant_type must be password, refresh_token or ${EXCHANGE}`,
      });
  }
}

async function prove({ options, caller }: Context, name: string, password: string): Promise<Identity> {
  const who = await deskOf(options).authenticator.authenticate(name, password, caller.address);
  if (!who) throw wrongCredentials();
  return who;
}

/** Those who have an account get one: a job's own token is what lives as long as the job. */
async function refreshToken(service: TokenDesk["service"], who: Who): Promise<{ readonly refresh_token?: string }> {
  return who && who.kind !== "job" ? { refresh_token: await service.issueRefreshToken(who) } : {};
}

function tokenReply(value: object): Reply {
  return json(200, value, { "cache-control": "no-store" });
}

/** The same for a name that nobody has and a password that is wrong. */
function wrongCredentials(): RefusedWithHeaders {
  return new RefusedWithHeaders(
    new OciError("UNAUTHORIZED", { message: "the name or the password, or the token in its place, is not right" }),
    { "www-authenticate": 'Basic realm="stowage"' },
  );
}

function formTooLarge(): OciError {
  return new OciError("SIZE_INVALID", { status: 413, message: `a form may have at most ${LIMITS.maxFormBytes} bytes` });
}
