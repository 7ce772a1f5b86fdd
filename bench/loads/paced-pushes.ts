/** Pushes at a fixed rate, for rows that measure what else a server does meanwhile. */
import { smallImages } from "./bodies.ts";
import { Connection } from "./connection.ts";
import { pushImage } from "./pusher.ts";

/** Writers that share the rate: a push that takes long delays none of the next ones. */
const WRITERS = 8;

/** A server that takes less than this share of the images is not measured beside the same load as others. */
const LEAST_SHARE = 0.9;

/**
 * Pushes `perSecond` small images into repositories of their own while `load` runs. Rejects when the server took too few of
 * them, or refused one.
 */
export async function besidePushes<Result>(
  { port, perSecond, seconds }: { readonly port: number; readonly perSecond: number; readonly seconds: number },
  load: () => Promise<Result>,
): Promise<Result> {
  const images = smallImages(Math.ceil(perSecond * seconds));
  const run = crypto.randomUUID();
  const started = performance.now();
  const until = started + seconds * 1000;
  let [next, pushed] = [0, 0];
  const write = async (writer: number): Promise<void> => {
    using connection = await Connection.open(port);
    for (let at = next++; at < images.length; at = next++) {
      await Bun.sleep(Math.max(0, started + (at * 1000) / perSecond - performance.now()));
      if (performance.now() > until) return;
      await pushImage(connection, `push/beside-${writer}`, `${run}-${at}`, images[at]!);
      pushed++;
    }
  };
  const writers = Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
  const [result] = await Promise.all([load(), writers]);
  if (pushed < images.length * LEAST_SHARE) throw new Error(`${pushed} of ${images.length} images were pushed in time`);
  return result;
}
