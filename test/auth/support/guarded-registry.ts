/** A registry that knows who asks, on a socket of its own, in this process: its accounts and its clock are given. */
import { createRegistry } from "../../../src/create-registry.ts";
import type { Registry } from "../../../src/create-registry.ts";
import type { Rule } from "../../../src/auth/policy.ts";
import { ListedAccounts } from "../../../src/auth/testing/listed-accounts.ts";
import type { ListedAccount } from "../../../src/auth/testing/listed-accounts.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import type { Access } from "../../../src/observe/access-log.ts";
import { silentLogger } from "../../../src/observe/logger.ts";
import type { EventsOptions } from "../../../src/registry/events/events.ts";
import type { RegistryLimits } from "../../../src/registry/backend.ts";
import type { ConfiguredHeaders } from "../../../src/server/http/common-headers.ts";
import { listen } from "../../../src/server/listen/listen.ts";

export interface GuardedRegistryOptions {
  readonly accounts: readonly ListedAccount[];
  /** Every user who logs in may do everything when absent. */
  readonly policies?: readonly Rule[];
  /** Clients are asked for a password in this realm, instead of for a token. */
  readonly basicRealm?: string;
  /** Whether tokens are renewed without the password. */
  readonly refreshTokens?: boolean;
  readonly limits?: Partial<RegistryLimits>;
  readonly events?: EventsOptions;
  /** Of every reply, and those of CORS. */
  readonly headers?: ConfiguredHeaders;
}

export interface GuardedRegistry extends AsyncDisposable {
  /** Such as `http://127.0.0.1:40123`, without a slash at the end. */
  readonly url: string;
  readonly accounts: ListedAccounts;
  readonly registry: Registry;
  /** What was answered, as the log is told. */
  readonly accesses: readonly Access[];
  /** Lets so much time pass. */
  later(milliseconds: number): void;
}

export async function startGuarded(options: GuardedRegistryOptions): Promise<GuardedRegistry> {
  const { policies, basicRealm, refreshTokens, limits, events, headers } = options;
  let ahead = 0;
  const accounts = new ListedAccounts(options.accounts);
  const registry = await createRegistry({
    storage: "memory",
    signaturesEnabled: true,
    clock: { now: () => systemClock.now() + ahead },
    access: {
      kind: "accounts",
      authenticator: () => accounts,
      ...(policies ? { policies } : {}),
      ...(basicRealm === undefined ? {} : { basicRealm }),
      ...(refreshTokens === undefined ? {} : { refreshTokens }),
    },
    ...(limits ? { limits } : {}),
    ...(events ? { events } : {}),
    ...(headers ? { headers } : {}),
  });
  const accesses: Access[] = [];
  const server = await listen({ kind: "tcp", hostname: "127.0.0.1", port: 0 }, registry.handle, {
    log: silentLogger(),
    access: (access) => void accesses.push(access),
  });
  return {
    url: server.url,
    accounts,
    registry,
    accesses,
    later: (milliseconds) => void (ahead += milliseconds),
    async [Symbol.asyncDispose]() {
      await server.stop();
      await registry.close();
    },
  };
}

export type Headers = Readonly<Record<string, string>>;

/** The header of a client with a name and a password. */
export function basic(name: string, password: string): Headers {
  return { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}` };
}

export function bearer(token: string): Headers {
  return { authorization: `Bearer ${token}` };
}

export interface TokenReply {
  readonly token: string;
  readonly access_token: string;
  readonly expires_in: number;
  readonly issued_at: string;
  readonly scope?: string;
  readonly refresh_token?: string;
}

/** A token for these scopes; anonymous without credentials. */
export async function tokenFor(url: string, scopes: readonly string[], credentials: Headers = {}): Promise<string> {
  const query = new URLSearchParams(scopes.map((scope): [string, string] => ["scope", scope]));
  const reply = await fetch(`${url}/token?service=stowage&${query.toString()}`, { headers: credentials });
  if (reply.status !== 200) throw new Error(`/token answered ${reply.status}: ${await reply.text()}`);
  return ((await reply.json()) as TokenReply).token;
}

/** What a token says, unverified. */
export function claimsOf(token: string): Readonly<Record<string, unknown>> {
  return JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as Record<string, unknown>;
}
