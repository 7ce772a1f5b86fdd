/** The names of the database of a data folder: also for commands, which load SQLite only when they open it. */

/** The file that holds all facts. */
export const DATABASE = "registry.db";

/** A copy of it, until everything that it names is there: a server refuses a folder that holds one and no database. */
export const UNFINISHED_COPY: string = `${DATABASE}.part`;
