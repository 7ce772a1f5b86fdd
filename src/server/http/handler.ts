/** A handler of requests: the registry, its debug address, or the plain HTTP listener beside TLS. */
import type { Reply } from "./reply.ts";

/**
 * Answers any request; it never rejects, and returns at once what takes no waiting. `onBodyReceived` is called once the request has
 * arrived to its last byte; `peer` is the address at the other end of the connection.
 */
export type Handler = (request: Request, onBodyReceived?: () => void, peer?: string) => Reply | Promise<Reply>;
