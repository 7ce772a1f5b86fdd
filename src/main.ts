/** The executable: the command line in, the exit code out. */
import { inspect } from "node:util";
import { environmentOf } from "./cli/environment.ts";
import { printError } from "./cli/print.ts";
import { run } from "./cli/run.ts";

const code = await run(process.argv.slice(2), environmentOf(process.env)).catch((error: unknown) => {
  printError(`stowage: an error that nobody expected: ${inspect(error)}\n`);
  return 1;
});
process.exit(code);
