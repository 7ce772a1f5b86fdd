/** How the settings say that clients are listened for: by this process, or by workers that share a port. */
import { defaultOf } from "../config/schema.ts";
import type { Settings } from "../config/schema.ts";
import { OPTIONS } from "../config/sources.ts";
import { variableOf } from "../config/variables.ts";
import type { Logs } from "../observe/logs.ts";
import type { Handler } from "../server/http/handler.ts";
import { CommonHeaders } from "../server/http/common-headers.ts";
import { ListenError, listen } from "../server/listen/listen.ts";
import type { Address, Listening } from "../server/listen/listen.ts";
import { TlsError } from "../server/http/tls.ts";
import type { TlsOptions } from "../server/http/tls.ts";
import { addressOf } from "./address.ts";
import { CommandError } from "./command-error.ts";

/** Listens at `address` rather than where the settings say, and beside others, when it is given. */
export async function listenForClients(
  { http }: Settings,
  handle: Handler,
  logs: Logs,
  address?: Address,
): Promise<Listening> {
  return await listen(address ?? addressOf(http.addr), handle, logs, {
    tls: tlsOf(http.tls),
    http2: http.tls.certificate === undefined ? http.h2c.enabled : !http.http2.disabled,
    sharesPort: address !== undefined,
    commonHeaders: new CommonHeaders(http.headers),
    stopMs: http.draintimeout,
  }).catch(refused("http.addr"));
}

/** Says by which setting to choose another address. */
export function refused(setting: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof TlsError) throw new CommandError(`http.tls: ${error.message}`, { cause: error });
    if (!(error instanceof ListenError)) throw error;
    const option = OPTIONS[setting];
    const how = option === undefined ? variableOf(setting) : `${option}, ${variableOf(setting)}`;
    throw new CommandError(`${setting}: ${error.message} (${how})`, { cause: error });
  };
}

/** Settings of TLS that count for nothing, because there is no certificate; undefined when there are none. */
export function idleTlsWarning({ http: { tls } }: Settings): string | undefined {
  if (tls.certificate !== undefined || tls.letsencrypt) return undefined;
  const idle = [
    tls.minimumtls === defaultOf("http.tls.minimumtls") ? [] : "http.tls.minimumtls",
    tls.ciphersuites.length === 0 ? [] : "http.tls.ciphersuites",
    tls.clientauth === defaultOf("http.tls.clientauth") ? [] : "http.tls.clientauth",
  ].flat();
  if (idle.length === 0) return undefined;
  return `${idle.join(", ")}: ignored, because there is no TLS without http.tls.certificate and http.tls.key`;
}

/** Undefined when the settings name no certificate. */
function tlsOf(tls: Settings["http"]["tls"]): TlsOptions | undefined {
  const { certificate, key, clientcas, clientauth, minimumtls, ciphersuites } = tls;
  if (certificate === undefined || key === undefined) {
    const lacking = certificate === undefined ? "http.tls.certificate" : "http.tls.key";
    if ((certificate ?? key ?? clientcas[0]) === undefined) return undefined;
    throw new CommandError(`${lacking} is not set: TLS needs both the certificate and its key`);
  }
  return {
    certificate,
    key,
    clientCas: clientcas,
    clientCertificateRequired: clientauth === "require-and-verify-client-cert",
    minimum: minimumtls,
    ciphers: ciphersuites,
  };
}
