/** Keeps a certificate in its folder: has the first one before there is anything to serve with, and renews it in time. */
import { generateKeyPairSync } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../lib/clock.ts";
import { pause } from "../lib/pause.ts";
import type { Logger } from "../observe/logger.ts";
import { AcmeError } from "./acme-error.ts";
import type { CertificateFolder } from "./certificate-folder.ts";
import { lifeOf, renewalTime } from "./certificate-life.ts";
import { orderCertificate } from "./order.ts";
import { RENEWAL_BACKOFF, START_BACKOFF, nextTryAt } from "./backoff.ts";
import type { Failure } from "./backoff.ts";

/** The lease by which one process at a time orders certificates. */
export interface OrderLease {
  /** Takes the lease until the result is disposed. Resolves with undefined while another process holds it. */
  hold(): Promise<HeldLease | undefined>;
}

interface HeldLease extends AsyncDisposable {
  /** Aborted when the lease was lost: another process may hold it now. */
  readonly lost: AbortSignal;
}

export interface KeeperOptions {
  readonly folder: CertificateFolder;
  readonly directory: string;
  readonly email: string;
  readonly names: readonly string[];
  readonly lease: OrderLease;
  readonly clock: Clock;
  readonly log: Logger;
}

/** There is no certificate to serve with; the message says why. */
export class CertificateError extends Error {
  override readonly name = "CertificateError";
}

/** Bounds of a start without a certificate: all of it … */
const START_MS = 180_000;
/** … while the CA cannot be reached, for example before the network is up … */
const UNREACHABLE_MS = 15_000;
/** … and between two tries at that. */
const RETRY_MS = 3000;

const ORDER_MS = 120_000;

/** How long a lease lasts without renewal: after that another process may order. */
export const LEASE_MS = 20_000;

/** The longest time between two checks of the certificate. Because clocks jump, and other processes renew it too. */
const POLL_MS = 3_600_000;
const MIN_POLL_MS = 1000;

export class CertificateKeeper {
  readonly #options: KeeperOptions;
  #failure: Failure | undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Resolves when there is a certificate that is good now; rejects with `CertificateError` when none can be had. */
  async provide(): Promise<void> {
    const { clock, log, names, lease } = this.#options;
    const started = clock.now();
    let waited = false;
    while (!(await this.#isGood())) {
      await this.#refuseTooEarly();
      if (clock.now() - started > START_MS)
        throw new CertificateError("another process did not get a certificate in time");
      await using held = await lease.hold();
      if (!held) {
        if (!waited) log.info("waiting for the certificate, which another process orders");
        waited = true;
        await sleep(MIN_POLL_MS);
        continue;
      }
      log.info(
        { names, directory: this.#options.directory },
        "ordering the first certificate: the authority validates each name by DNS and over port 80",
      );
      try {
        await this.#order(held.lost);
      } catch (error) {
        if (!(error instanceof AcmeError && error.kind === "unreachable")) {
          const { reason } = await this.#recordFailure(error);
          throw new CertificateError(reason, { cause: error });
        }
        if (clock.now() - started > UNREACHABLE_MS) throw new CertificateError(error.message, { cause: error });
        log.warn({ err: error }, "the authority cannot be reached: retrying");
        await sleep(RETRY_MS);
      }
    }
  }

  /** Renews the certificate when it is time, until `signal` says stop. What fails is logged and tried again later. */
  async renewInBackground(signal: AbortSignal): Promise<void> {
    const { log } = this.#options;
    for (let waitMs = 0; await pause(waitMs, signal); waitMs = await this.#untilDue()) {
      try {
        await this.#renewWhenDue(signal);
      } catch (error) {
        if (signal.aborted) continue;
        const next = new Date(nextTryAt(await this.#recordFailure(error), RENEWAL_BACKOFF)).toISOString();
        log.error({ err: error, next }, "the certificate could not be renewed: it is retried later");
      }
    }
  }

  async #renewWhenDue(signal: AbortSignal): Promise<void> {
    const { lease, log } = this.#options;
    if (!(await this.#isDue())) return;
    await using held = await lease.hold();
    if (!held || !(await this.#isDue())) return; // another process orders it, or was quicker
    await this.#order(AbortSignal.any([signal, held.lost]));
    log.info("the certificate was renewed");
  }

  async #isGood(): Promise<boolean> {
    const { folder, names, clock } = this.#options;
    const life = lifeOf((await folder.certificate()) ?? "", names);
    return life !== undefined && life.until > clock.now();
  }

  async #dueAt(): Promise<number> {
    const { folder, names } = this.#options;
    const life = lifeOf((await folder.certificate()) ?? "", names);
    const failure = await this.#lastFailure();
    return Math.max(life ? renewalTime(life) : 0, failure ? nextTryAt(failure, RENEWAL_BACKOFF) : 0);
  }

  async #isDue(): Promise<boolean> {
    return (await this.#dueAt()) <= this.#options.clock.now();
  }

  async #untilDue(): Promise<number> {
    const left = await this.#dueAt().then(
      (dueAt) => dueAt - this.#options.clock.now(),
      () => POLL_MS,
    );
    return Math.min(Math.max(left, MIN_POLL_MS), POLL_MS);
  }

  /** Programs are started again by others when they fail: an authority must not be asked each time. */
  async #refuseTooEarly(): Promise<void> {
    const { folder, clock } = this.#options;
    const failure = await this.#lastFailure();
    if (!failure) return;
    const next = nextTryAt(failure, START_BACKOFF);
    if (next <= clock.now()) return;
    throw new CertificateError(
      `the last order failed (${failure.reason}); the next order is possible after ` +
        `${new Date(next).toISOString()}; to order at once, delete ${folder.failurePath}`,
    );
  }

  async #recordFailure(error: unknown): Promise<Failure> {
    const { folder, clock, log } = this.#options;
    const reason = error instanceof Error ? error.message : String(error);
    this.#failure = { count: ((await this.#lastFailure())?.count ?? 0) + 1, at: clock.now(), reason };
    try {
      await folder.putFailure(this.#failure);
    } catch (cause) {
      log.error({ err: cause }, "a failed order could not be recorded: other processes may retry too early");
    }
    return this.#failure;
  }

  /** Undefined when the last order was filled. What another process wrote counts too. */
  async #lastFailure(): Promise<Failure | undefined> {
    return (await this.#options.folder.failure().catch(() => undefined)) ?? this.#failure;
  }

  /** Orders a certificate, for the process that has the lease, unless `stop` is aborted. */
  async #order(stop: AbortSignal): Promise<void> {
    const { folder, directory, email, names } = this.#options;
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const bound = AbortSignal.timeout(ORDER_MS);
    await folder.clearAnswers(); // of a process that was killed
    const chain = await orderCertificate(
      {
        directory,
        email,
        names,
        accountKey: await folder.accountKey(),
        certificateKey: privateKey,
        publish: (token, answer) => folder.putAnswer(token, answer),
      },
      AbortSignal.any([stop, bound]),
    );
    if (!lifeOf(chain, names)) throw new AcmeError("refused", "the authority signed a certificate for other names");
    await folder.putCertificate(privateKey, chain);
    this.#failure = undefined;
    await folder.clearFailure();
    await folder.clearAnswers();
  }
}
