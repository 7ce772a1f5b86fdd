/**
 * Claims on uploads: one writer at a time, in this process and among all that share the database.
 *
 * A request **takes** the upload in memory first. While its bytes are few, that is all: of two processes that record few
 * bytes the first wins, by the version in the row. Before a part file is opened the claim is **held** in the row, in the
 * name of this process (`metadata/holders.ts`).
 *
 * - A holder that has ended, or is out of reach, is taken over at once.
 * - A holder that runs keeps what it holds, whatever its requests do: a timer renews its lease.
 * - A writer that has received nothing for `silenceMs` is suspended: it closes its part file and gives its claim up, and
 *   takes it again when bytes come, unless another writer has it. So a half-open connection blocks no other writer.
 */
import type { Clock } from "../lib/clock.ts";
import type { Metadata } from "../metadata/metadata.ts";
import type { UploadRecord } from "../metadata/uploads.ts";
import type { Holder } from "../metadata/holders.ts";
import { OciError } from "../oci/error.ts";
import { BrokenBodyError } from "../lib/broken-body-error.ts";

/** How often silent writers and due leases are searched for. */
const TICK_MS = 1000;

/** The lease is renewed when this part of it is over. */
const RENEW_AT = 1 / 4;

/** How long uploads and the claims on them are kept, in milliseconds. */
export interface UploadTimes {
  /** How long an upload that receives no request is kept. */
  readonly uploadExpiryMs: number;
  /** How long a process that gives no sign of life, but has not ended, keeps the uploads that it writes to. */
  readonly leaseMs: number;
  /** How long a request that receives nothing keeps its upload when another one comes. */
  readonly silenceMs: number;
}

interface ClaimsBackend {
  readonly metadata: Metadata;
  readonly clock: Clock;
  readonly limits: UploadTimes;
}

export class UploadClaims implements AsyncDisposable {
  readonly #backend: ClaimsBackend;
  readonly #active = new Map<string, UploadClaim>();
  /** Uploads that no request writes to any more, and whose row may say that this process holds them all the same. */
  readonly #unreleased = new Set<string>();
  #holder: Promise<Holder> | undefined;
  #upkeep: Promise<void> | undefined;
  /** When the lease of this process ends, in milliseconds since 1970. */
  #leaseUntil = 0;
  #timer: Disposable | undefined;
  #isClosed = false;

  constructor(backend: ClaimsBackend) {
    this.#backend = backend;
  }

  /**
   * Claims the upload for one request of this process. Refused with 409 while another request of this process receives
   * bytes or works on them; one that is silent loses the upload.
   */
  async take(id: string): Promise<UploadClaim> {
    for (let current = this.#active.get(id); current; current = this.#active.get(id)) {
      if (!current.isSilent(this.#backend.clock.now())) throw busyUpload(id);
      await current.interrupt(busyUpload(id));
    }
    if (this.#isClosed) throw closing();
    const claim = new UploadClaim(this.#backend, id, {
      hold: (facts, finalKey) => this.#hold(facts, finalKey),
      release: () => this.#release(id),
      ended: () => void this.#active.delete(id),
    });
    this.#active.set(id, claim);
    this.#timer ??= this.#backend.clock.every?.(TICK_MS, () => this.tick());
    return claim;
  }

  /** Whether a request of this process writes to the upload, and its client is not silent. */
  isAtWork(id: string): boolean {
    const claim = this.#active.get(id);
    return claim !== undefined && !claim.isSilent(this.#backend.clock.now());
  }

  /** What the timer does: suspends silent writers, renews the lease, finds lost claims. Never rejects. */
  async tick(): Promise<void> {
    const now = this.#backend.clock.now();
    const suspensions = [...this.#active.values()].map((claim) => claim.suspendIfSilent(now));
    if (this.#active.size === 0 && this.#unreleased.size === 0) {
      this.#timer?.[Symbol.dispose]();
      this.#timer = undefined;
    }
    this.#upkeep ??= this.#keepUp(now).finally(() => (this.#upkeep = undefined));
    await Promise.all([this.#upkeep, ...suspensions]);
  }

  /** Ends all requests that wait for bytes, and waits for all that are at work. None is taken after it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#timer?.[Symbol.dispose]();
    await Promise.all([...this.#active.values()].map((claim) => claim.interrupt(closing())));
    await this.#upkeep;
    await (await this.#holder)?.[Symbol.asyncDispose]();
  }

  async #hold(facts: UploadRecord, finalKey: string | undefined): Promise<HeldClaim | undefined> {
    const { metadata, clock, limits } = this.#backend;
    const { id: holder } = await this.#announced();
    const { id, version, claimedBy } = facts;
    const isOwn = claimedBy === undefined || claimedBy === holder;
    const fate = isOwn ? "runs" : await metadata.holders.fateOf(claimedBy);
    const now = clock.now();
    const leaseUntil = this.#isLeaseDue(now) ? now + limits.leaseMs : undefined;
    const claimed = await metadata.uploads.claim({
      id,
      version,
      holder,
      ...(fate === "runs" ? {} : { gone: claimedBy }),
      ...(leaseUntil === undefined ? {} : { leaseUntil }),
      ...(finalKey === undefined ? {} : { finalKey }),
      expiresAt: now + limits.uploadExpiryMs,
    });
    if (leaseUntil !== undefined) this.#leaseUntil = leaseUntil;
    if (claimed === undefined) return undefined;
    this.#unreleased.delete(id);
    return { version: claimed, mayBeWritten: !isOwn && fate !== "ended" };
  }

  async #release(id: string): Promise<boolean> {
    this.#unreleased.add(id); // until it is known that it was
    const released = await this.#backend.metadata.uploads.release(id, (await this.#announced()).id);
    this.#unreleased.delete(id);
    return released;
  }

  #announced(): Promise<Holder> {
    if (this.#holder) return this.#holder;
    const announced = this.#backend.metadata.holders.announce();
    this.#holder = announced;
    announced.catch(() => (this.#holder = undefined)); // the next one tries again
    return announced;
  }

  #isLeaseDue(now: number): boolean {
    return now + this.#backend.limits.leaseMs * (1 - RENEW_AT) >= this.#leaseUntil;
  }

  async #keepUp(now: number): Promise<void> {
    try {
      const held = [...this.#active.values()].flatMap(({ id, version }) =>
        version === undefined ? [] : { id, version },
      );
      if (held.length > 0) await this.#renew(now, held);
      for (const id of this.#unreleased) {
        if (this.#active.has(id)) this.#unreleased.delete(id);
        else await this.#release(id);
      }
    } catch {
      // The database is in trouble, which its next user is told. A claim that is lost meanwhile is found out by its version.
    }
  }

  async #renew(now: number, held: readonly { readonly id: string; readonly version: number }[]): Promise<void> {
    if (!this.#isLeaseDue(now)) return;
    const { metadata, limits } = this.#backend;
    const { id: holder } = await this.#announced();
    await metadata.holders.renew(holder, now + limits.leaseMs);
    this.#leaseUntil = now + limits.leaseMs;
    for (const id of await metadata.holders.lostUploads(holder, held)) {
      const version = held.find((each) => each.id === id)?.version;
      const claim = this.#active.get(id);
      if (claim?.version === version) claim?.lose();
    }
  }
}

/** A claim that is in the row. */
interface HeldClaim {
  readonly version: number;
  /** Whether a process that sleeps may still write to the files of the upload when it wakes up. */
  readonly mayBeWritten: boolean;
}

/** What a claim asks of the claims of its process. */
interface ClaimActions {
  hold(facts: UploadRecord, finalKey: string | undefined): Promise<HeldClaim | undefined>;
  release(): Promise<boolean>;
  ended(): void;
}

/** The right of one request to write to an upload, until it is disposed of. It renews itself. */
export class UploadClaim implements AsyncDisposable {
  readonly id: string;
  readonly #backend: ClaimsBackend;
  readonly #actions: ClaimActions;
  readonly #ended: Promise<void>;
  #resolveEnded: () => void = () => undefined;
  /** The version that the row has while this claim is in it. */
  #version: number | undefined;
  /** Whether the row may say that this process holds the upload. */
  #isInRow = false;
  /** Why the request must end, once something says so. */
  #interruption: Error | undefined;
  /** What the request waits for, and since when: bytes of its client. */
  #waiting: Waiting | undefined;

  constructor(backend: ClaimsBackend, id: string, actions: ClaimActions) {
    this.#backend = backend;
    this.id = id;
    this.#actions = actions;
    this.#ended = new Promise((resolve) => (this.#resolveEnded = resolve));
  }

  /** The version under which this claim is in the row; undefined when it is in memory alone. */
  get version(): number | undefined {
    return this.#version;
  }

  /**
   * Puts the claim into the row, which must be as `facts` says; `finalKey` is what the part file is about to become. Refused
   * with 409 when another process holds the upload, or the row was changed.
   */
  async hold(facts: UploadRecord, finalKey?: string): Promise<HeldClaim> {
    this.#isInRow = true; // whatever becomes of the statement: only its result says that it is not
    const held = await this.#actions.hold(facts, finalKey);
    if (!held) {
      this.#isInRow = false;
      throw busyUpload(this.id);
    }
    this.#version = held.version;
    return held;
  }

  /** Takes the claim out of the row; the upload stays as it is. False when it had been lost. */
  async release(): Promise<boolean> {
    this.#version = undefined;
    const released = await this.#actions.release();
    this.#isInRow = false;
    return released;
  }

  /** The row was written, and says no more that this process holds the upload. */
  released(): void {
    this.#version = undefined;
    this.#isInRow = false;
  }

  /** Throws when the request must end: the upload was lost, or the registry closes. */
  check(): void {
    if (this.#interruption) throw this.#interruption;
  }

  /**
   * What comes next from the client. When nothing comes for `silenceMs`, the writer is suspended, and resumed when something
   * comes after all. Rejects when another request takes the upload meanwhile.
   */
  async receive<Item>(next: Promise<Item>, writer: Suspendable): Promise<Item> {
    const since = this.#backend.clock.now();
    let suspension: Promise<void> | undefined;
    try {
      // Not by `Promise.race`, which would keep a reaction for each piece on the promise of an interruption.
      const item = await new Promise<Item>((resolve, reject) => {
        next.then(resolve, reject);
        this.check();
        this.#waiting = { since, reject, suspend: () => (suspension ??= writer.suspend()) };
      });
      if (!suspension) return item;
      this.#waiting = undefined;
      await suspension;
      await writer.resume();
      return item;
    } finally {
      this.#waiting = undefined;
      await suspension; // also when the request ends: what is half given up is in the way of the next writer
    }
  }

  /** Whether the client has sent nothing for so long that another request may take the upload. */
  isSilent(now: number): boolean {
    return this.#waiting !== undefined && now - this.#waiting.since >= this.#backend.limits.silenceMs;
  }

  /** Never rejects: what goes wrong ends the request. */
  async suspendIfSilent(now: number): Promise<void> {
    const waiting = this.#waiting;
    if (!waiting || !this.isSilent(now)) return;
    await waiting.suspend().catch((error: unknown) => waiting.reject(error));
  }

  /** Another process has taken the upload, or it has ended. */
  lose(): void {
    void this.interrupt(busyUpload(this.id));
  }

  /** Ends the request with `error` as soon as it waits for its client; resolves when it has ended. */
  interrupt(error: Error): Promise<void> {
    this.#interruption ??= error;
    this.#waiting?.reject(this.#interruption);
    return this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.#isInRow) await this.release();
    } catch {
      // The timer tries again.
    } finally {
      this.#actions.ended();
      this.#resolveEnded();
    }
  }
}

/** A writer that can let go of what it holds outside of memory, and take it again. */
export interface Suspendable {
  suspend(): Promise<void>;
  /** Refused with 409 when another writer has had the upload meanwhile. */
  resume(): Promise<void>;
}

interface Waiting {
  /** Milliseconds since 1970. */
  readonly since: number;
  reject(error: unknown): void;
  /** Lets go of what the writer holds, once. */
  suspend(): Promise<void>;
}

/** How a second writer is refused. */
export function busyUpload(id: string): OciError {
  return new OciError("BLOB_UPLOAD_INVALID", {
    status: 409,
    message: "another request is writing to this upload: wait for it to end",
    detail: { id },
  });
}

/** A registry that closes breaks off what it receives, as its clients could. */
function closing(): Error {
  return new BrokenBodyError("the registry is closing");
}
