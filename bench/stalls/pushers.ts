/** Clients that push small images, and note how long each push took. */
import { smallImages } from "../loads/bodies.ts";
import { Connection } from "../loads/connection.ts";
import { pushImage } from "../loads/pusher.ts";

export class Pushers {
  /** Milliseconds that each push took, in the order of their ends. */
  readonly millis: number[] = [];
  readonly #writers: Promise<unknown>;
  #isOver = false;

  private constructor(connections: readonly Connection[], perSecond: number) {
    const run = crypto.randomUUID();
    const startedAt = performance.now();
    let next = 0;
    const write = async (connection: Connection, writer: number): Promise<void> => {
      using _ = connection;
      while (!this.#isOver) {
        const at = next++;
        const dueAt = startedAt + (at * 1000) / perSecond;
        while (!this.#isOver && performance.now() < dueAt) await Bun.sleep(Math.min(100, dueAt - performance.now()));
        if (this.#isOver) return;
        const [image] = smallImages(1);
        const begunAt = performance.now();
        await pushImage(connection, `push/app-${writer}`, `${run}-${at}`, image!);
        this.millis.push(performance.now() - begunAt);
      }
    };
    this.#writers = Promise.all(connections.map(write));
    this.#writers.catch(() => (this.#isOver = true));
  }

  /** Begins to push so many images in a second, or as many as can be with `Infinity`. */
  static async start(port: number, clients: number, perSecond: number): Promise<Pushers> {
    return new Pushers(await Promise.all(Array.from({ length: clients }, () => Connection.open(port))), perSecond);
  }

  /** Ends when the pushes that have begun have ended; gives how long each took. Rejects when one was refused. */
  async stop(): Promise<readonly number[]> {
    this.#isOver = true;
    await this.#writers;
    return this.millis;
  }
}
