/** Orders a certificate with http-01 challenges (RFC 8555, section 7). */
import type { KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { calculateJwkThumbprint } from "jose";
import { AcmeError, problemText } from "./acme-error.ts";
import type { Problem } from "./acme-error.ts";
import { AcmeSession, publicJwk, request } from "./acme-session.ts";
import type { Answer } from "./acme-session.ts";
import { signingRequest } from "./signing-request.ts";

export interface OrderRequest {
  /** Where the authority's server names its addresses. */
  readonly directory: string;
  /** Of P-256. The account of this key is made when there is none. */
  readonly accountKey: KeyObject;
  readonly email: string;
  readonly names: readonly string[];
  /** Of P-256. */
  readonly certificateKey: KeyObject;
  /** Serves `answer` as the response to the challenge `token`. */
  readonly publish: (token: string, answer: string) => Promise<void>;
}

interface Directory {
  readonly newNonce: string;
  readonly newAccount: string;
  readonly newOrder: string;
}

interface Order {
  readonly status: string;
  readonly authorizations: readonly string[];
  readonly finalize: string;
  readonly certificate?: string;
  readonly error?: Problem;
}

interface Authorization {
  readonly status: string;
  readonly identifier: { readonly value: string };
  readonly challenges: readonly Challenge[];
}

interface Challenge {
  readonly type: string;
  readonly url: string;
  readonly token: string;
  readonly error?: Problem;
}

/** Between two looks at something that the server has not decided yet, when it does not say for how long to wait. */
const POLL_MS = 1000;
const MAX_POLL_MS = 30_000;

/** The certificate and those that lead to its authority, in PEM. Rejects with `AcmeError`. */
export async function orderCertificate(ordered: OrderRequest, signal: AbortSignal): Promise<string> {
  const { names, accountKey, certificateKey, email } = ordered;
  const { response, text } = await request(ordered.directory, signal);
  if (!response.ok) throw new AcmeError("unreachable", `${ordered.directory} answered ${response.status}`);
  const directory = jsonIn(text, ordered.directory) as Directory;
  const session = new AcmeSession(accountKey, directory.newNonce, signal);
  const account = await session.post(directory.newAccount, {
    termsOfServiceAgreed: true,
    contact: [`mailto:${email}`],
  });
  session.account = addressIn(account, directory.newAccount);
  const made = await session.post(directory.newOrder, {
    identifiers: names.map((value) => ({ type: "dns", value })),
  });
  const url = addressIn(made, directory.newOrder);
  for (const each of (jsonIn(made.text, url) as Order).authorizations) await prove(session, each, ordered, signal);

  const readOrder = (): Promise<Decided<Order>> => read<Order>(session, url);
  const ready = await decided(readOrder, ["pending"], signal);
  refuseUnless(ready, ["ready", "processing", "valid"]);
  if (ready.status === "ready") {
    await session.post(ready.finalize, { csr: signingRequest(names, certificateKey).toString("base64url") });
  }
  const order = await decided(readOrder, ["ready", "processing"], signal);
  refuseUnless(order, ["valid"]);
  if (order.certificate === undefined) throw new AcmeError("refused", `${url} has no certificate`);
  return (await session.post(order.certificate)).text;
}

/** Shows the authority that a name is ours. */
async function prove(session: AcmeSession, url: string, ordered: OrderRequest, signal: AbortSignal): Promise<void> {
  const readAuthorization = (): Promise<Decided<Authorization>> => read<Authorization>(session, url);
  const { value: asked } = await readAuthorization();
  if (asked.status === "valid") return; // proven not long ago
  const challenge = asked.challenges.find(({ type }) => type === "http-01");
  if (!challenge)
    throw new AcmeError("refused", `the authority offers no http-01 challenge for ${asked.identifier.value}`);
  const thumbprint = await calculateJwkThumbprint(publicJwk(ordered.accountKey));
  await ordered.publish(challenge.token, `${challenge.token}.${thumbprint}`);
  await session.post(challenge.url, {});
  const { status, identifier, challenges } = await decided(readAuthorization, ["pending"], signal);
  if (status === "valid") return;
  const problem = challenges.find(({ error }) => error)?.error ?? {};
  throw new AcmeError("refused", `${identifier.value} could not be validated: ${problemText(problem)}`);
}

interface Decided<Value> {
  readonly value: Value;
  /** How long to wait before looking again. */
  readonly waitMs: number;
}

async function read<Value>(session: AcmeSession, url: string): Promise<Decided<Value>> {
  const { text, headers } = await session.post(url);
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  const waitMs = Number.isNaN(seconds) ? POLL_MS : Math.min(Math.max(seconds * 1000, POLL_MS), MAX_POLL_MS);
  return { value: jsonIn(text, url) as Value, waitMs };
}

/** Looks until the status is none of `open`. */
async function decided<Value extends { readonly status: string }>(
  look: () => Promise<Decided<Value>>,
  open: readonly string[],
  signal: AbortSignal,
): Promise<Value> {
  for (;;) {
    const { value, waitMs } = await look();
    if (!open.includes(value.status)) return value;
    await sleep(waitMs, undefined, { signal }).catch((error: unknown) => {
      throw new AcmeError("unreachable", "the authority did not respond in time", { cause: error });
    });
  }
}

function refuseUnless({ status, error = {} }: Order, good: readonly string[]): void {
  if (!good.includes(status)) throw new AcmeError("refused", `the order is ${status}: ${problemText(error)}`);
}

function addressIn({ headers }: Answer, url: string): string {
  const address = headers.get("location");
  if (address === null) throw new AcmeError("refused", `${url} returned no Location`);
  return address;
}

function jsonIn(text: string, url: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new AcmeError("unreachable", `${url} did not return JSON`, { cause: error });
  }
}
