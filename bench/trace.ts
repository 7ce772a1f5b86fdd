/**
 * Prints a trace that bench/replay.ts can play, as NDJSON.
 *
 *   tools/bun bench/trace.ts [--mix ibm|modern] [--requests N] [--seed N] > trace.ndjson
 *   tools/bun bench/trace.ts --import FILE… > trace.ndjson
 *
 * The first makes one up. The second reads files of the archive that IBM published in 2018.
 */
import { parseArgs } from "node:util";
import { generateTrace } from "./replay/generator.ts";
import { importIbmArchive } from "./replay/ibm-archive.ts";
import { mixOf } from "./replay/mixes.ts";
import { printTrace } from "./replay/trace.ts";

const { values: options, positionals: files } = parseArgs({
  options: {
    mix: { type: "string", default: "ibm" },
    requests: { type: "string", default: "40000" },
    seed: { type: "string", default: "1" },
    import: { type: "boolean", default: false },
  },
  allowPositionals: true,
});

if (options.import) {
  const { lines, joined, leftOut } = importIbmArchive(await Promise.all(files.map((file) => Bun.file(file).text())));
  console.error(`${lines.length} lines; ${joined} requests are part of an upload`);
  for (const [what, count] of leftOut) console.error(`left out: ${count} × ${what}`);
  await Bun.write(Bun.stdout, printTrace(lines));
} else {
  const [requests, seed] = [Number(options.requests), Number(options.seed)];
  await Bun.write(Bun.stdout, printTrace(generateTrace({ mix: mixOf(options.mix), requests, seed })));
}
