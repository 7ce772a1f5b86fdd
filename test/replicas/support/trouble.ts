/** Harm that is done to replicas, their database and their bucket while clients push, one thing after the other. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Random } from "../../support/random.ts";
import type { PostgresServer } from "../../postgres/support/postgres-server.ts";
import type { Fault, FaultyS3 } from "../../s3/support/faulty-s3.ts";
import type { Replica, Replicas } from "./replicas.ts";

/** Longer than the lease of a holder of uploads, which is 10 s. */
const LONG_FREEZE_MS = 12_000;

export interface TroubledParts {
  readonly replicas: Replicas;
  readonly postgres: PostgresServer;
  /** Before the bucket, when there is one. */
  readonly s3?: FaultyS3 | undefined;
  readonly random: Random;
}

type Harm = () => Promise<void>;

export class Trouble {
  readonly #parts: TroubledParts;
  /** What was done so far, to be read beside a failure. */
  readonly done: string[] = [];

  constructor(parts: TroubledParts) {
    this.#parts = parts;
  }

  /** Does every kind of harm once (with a bucket: to replicas and bucket), in any order, while a replica is frozen, and goes on with any until `untilMs` (of `performance.now`). */
  async run(untilMs: number): Promise<void> {
    const { random } = this.#parts;
    const kinds = this.#kinds();
    // What happens to the database is the same with a bucket.
    const waiting = [...kinds.keys()].filter((name) => !this.#parts.s3 || /S3|replica/.test(name));
    const frozen = this.#freeze(random.pick(this.#parts.replicas.all) as Replica, LONG_FREEZE_MS);
    this.done.push("a replica is frozen for longer than its leases");
    while (waiting.length > 0 || performance.now() < untilMs) {
      const at = waiting.length > 0 ? random.between(0, waiting.length - 1) : -1;
      const name = at >= 0 ? waiting.splice(at, 1)[0] : random.pick([...kinds.keys()]);
      this.done.push(name ?? "");
      await kinds.get(name ?? "")?.();
      await sleep(random.between(100, 600));
    }
    await frozen;
  }

  #kinds(): ReadonlyMap<string, Harm> {
    const { postgres, replicas, random } = this.#parts;
    const any = (): Replica => random.pick(replicas.all) as Replica;
    return new Map<string, Harm>([
      ["a replica is killed", () => this.#kill([any()])],
      [
        "two replicas are killed",
        () => this.#kill(replicas.all.filter((each) => each !== replicas.all[random.between(0, 2)]).slice(0, 2)),
      ],
      ["a replica is frozen for a moment", () => this.#freeze(any(), random.between(300, 3000))],
      ["a replica is frozen for longer than its leases", () => this.#freeze(any(), LONG_FREEZE_MS)],
      [
        "PostgreSQL restarts",
        async () => {
          await postgres.stop(random.chance(0.5) ? "fast" : "crash");
          await sleep(random.between(0, 1500));
          await postgres.run();
        },
      ],
      ["connections break between a commit and its answer", () => this.#cutAtCommits(any(), "fromServer")],
      ["connections break before a commit arrives", () => this.#cutAtCommits(any(), "fromClient")],
      [
        "backends are ended",
        async () => {
          await postgres.query(
            "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'stowage%' and pid <> pg_backend_pid() and random() < 0.5",
          );
        },
      ],
      ...this.#harmOfBucket(),
    ]);
  }

  async #kill(victims: readonly Replica[]): Promise<void> {
    const { replicas, random } = this.#parts;
    await Promise.all(victims.map((each) => replicas.kill(each)));
    await sleep(random.between(0, 1000));
    await Promise.all(victims.map((each) => replicas.startAgain(each)));
  }

  async #freeze(victim: Replica, milliseconds: number): Promise<void> {
    victim.signal("SIGSTOP");
    await sleep(milliseconds);
    victim.signal("SIGCONT");
  }

  async #cutAtCommits(victim: Replica, side: "fromServer" | "fromClient"): Promise<void> {
    const { random } = this.#parts;
    // The statement is "commit", and the server answers with its name.
    const word = side === "fromServer" ? "COMMIT\0" : "commit";
    victim.database.hooks = {
      [side]: (bytes: Buffer) => (bytes.includes(word) && random.chance(0.5) ? "cut" : "pass"),
    };
    await sleep(1000);
    victim.database.hooks = {};
  }

  /** Faults of the next requests to S3, whatever they are. */
  #harmOfBucket(): readonly (readonly [string, Harm])[] {
    const { s3, random } = this.#parts;
    if (!s3) return [];
    const next =
      (fault: Fault, times: number, matches: (call: string) => boolean = () => true): Harm =>
      async () => {
        s3.harm(fault, (call) => matches(call) && random.chance(0.5), times);
        await sleep(1000);
        s3.reset(); // a server that starts refuses a bucket that denies its id
      };
    return [
      ["S3 asks to slow down", next({ kind: "slow down" }, 10)],
      ["S3 resets connections", next({ kind: "reset" }, 10)],
      ["S3 does what it is asked, and its answers are lost", next({ kind: "answer lost" }, 6)],
      [
        "S3 loses the answer to a part or a Complete",
        next({ kind: "answer lost" }, 6, (call) => /part|complete|create/.test(call)),
      ],
      ["S3 cuts answers off", next({ kind: "truncated", afterBytes: 10 }, 6)],
      ["S3 does not know what it has", next({ kind: "not found" }, 3, (call) => call === "GET object")],
    ];
  }
}
