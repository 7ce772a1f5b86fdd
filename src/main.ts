/** The executable: the command line in, the exit code out. */
import { run } from "./cli/run.ts";

process.exit(await run(process.argv.slice(2), process.env));
