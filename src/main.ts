/** The executable: the command line in, the exit code out. */
import { inspect } from "node:util";
import { environmentOf } from "./cli/environment.ts";
import { printError } from "./cli/print.ts";
import { run } from "./cli/run.ts";

// Without a top-level await: the built program is a CommonJS file, which has none.
void run(process.argv.slice(2), environmentOf(process.env))
  .catch((error: unknown) => {
    printError(`stowage: unexpected error: ${inspect(error)}\n`);
    return 1;
  })
  .then((code) => process.exit(code));
