/** Where to listen, as settings say it. */
import { isIPv6 } from "node:net";
import { z } from "./zod.ts";

const EXPECTED =
  'expected host:port such as "127.0.0.1:5000", ":5000" for all addresses, "[::1]:5000", or "unix:/run/stowage.sock"';

/** `host:port` as distribution writes it, or the path of a Unix socket. */
export const address = z
  .string({ error: EXPECTED })
  .refine((text) => parseAddress(text) !== undefined, { error: EXPECTED });

/** distribution names a Unix socket by its path alone, with `net: unix` beside it. */
export const isOfNetwork = {
  of: ({ addr, net }: { readonly addr: string; readonly net?: "tcp" | "unix" | undefined }): boolean =>
    net === undefined || parseAddress(addr)?.kind === net,
  error:
    'expected host:port with http.net: tcp, and the path of a socket such as "/run/stowage.sock" with http.net: unix',
};

export type ListenAddress =
  | { readonly kind: "tcp"; readonly hostname: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** Undefined when `text` is no address. */
export function parseAddress(text: string): ListenAddress | undefined {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length).replace(/^\/\//, "");
    return path === "" ? undefined : { kind: "unix", path };
  }
  if (text.startsWith("/")) return { kind: "unix", path: text };
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^[\]:/\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65535 || (match[1] !== undefined && !isIPv6(match[1]))) return undefined;
  return { kind: "tcp", hostname: match[1] ?? (match[2] || "0.0.0.0"), port };
}
