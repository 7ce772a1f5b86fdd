/** What TLS is served with: certificate, key and the authorities that vouch for clients, as files that may change. */
import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileErrorReason } from "../../lib/file-error.ts";
import type { Logger } from "../../observe/logger.ts";

export interface TlsOptions {
  /** The path of a file in PEM: the certificate, and after it those that lead to its authority. */
  readonly certificate: string;
  /** The path of the certificate's key, in PEM. */
  readonly key: string;
  /** PEM files with CAs of client certificates. Empty: no client certificates are requested. */
  readonly clientCas?: readonly string[];
  /** Whether a client without a valid certificate is rejected. Otherwise certificates are requested and not checked. */
  readonly clientCertificateRequired?: boolean;
  readonly minimum?: TlsVersion;
  /** Names as OpenSSL writes them, for versions before 1.3; the library's choice when absent. */
  readonly ciphers?: readonly string[];
}

export type TlsVersion = "tls1.0" | "tls1.1" | "tls1.2" | "tls1.3";

/** The contents of the files, in the words of the servers of Node and Bun. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string[];
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  /** As the protocol numbers its versions. */
  readonly minVersion: number;
  readonly ciphers?: string;
}

/** The files cannot be served with; the message says which and why. */
export class TlsError extends Error {
  override readonly name = "TlsError";
}

const NUMBERS: Readonly<Record<TlsVersion, number>> = { "tls1.0": 769, "tls1.1": 770, "tls1.2": 771, "tls1.3": 772 };

/** A certificate that ends in less time is worth a warning. */
const SOON_MS = 14 * 86_400_000;

/** Reads the files; rejects with `TlsError` unless they are whole and belong together. */
export async function readTls(options: TlsOptions): Promise<TlsMaterial> {
  const [cert, key, ...ca] = await Promise.all(
    [options.certificate, options.key, ...(options.clientCas ?? [])].map(read),
  );
  if (cert === undefined || key === undefined) throw new TlsError("there is no certificate");
  const leaf = certificateIn(cert, options.certificate);
  if (!leaf.checkPrivateKey(keyIn(key, options.key))) {
    throw new TlsError(`the key in ${options.key} does not belong to the certificate in ${options.certificate}`);
  }
  for (const [index, text] of ca.entries()) certificateIn(text, options.clientCas?.[index] ?? "");
  const { ciphers, minimum = "tls1.2" } = options;
  return {
    cert,
    key,
    ...(ca.length > 0 && { ca }),
    requestCert: ca.length > 0,
    rejectUnauthorized: ca.length > 0 && (options.clientCertificateRequired ?? true),
    minVersion: NUMBERS[minimum],
    ...(ciphers && ciphers.length > 0 && { ciphers: ciphers.join(":") }),
  };
}

/** One line for a person when the certificate has ended or soon will; undefined otherwise. */
export function expiryWarning({ cert }: TlsMaterial, { certificate }: TlsOptions, now: number): string | undefined {
  const end = new X509Certificate(cert).validToDate;
  if (end.getTime() - now > SOON_MS) return undefined;
  const when = end.toISOString().slice(0, 10);
  return end.getTime() < now
    ? `the certificate in ${certificate} ended on ${when}: clients refuse it until the file is replaced`
    : `the certificate in ${certificate} ends on ${when}: replace the file; it is read again by itself`;
}

/**
 * Looks at the files now and then, and calls `changed` when they say something else than `current`. Files that cannot be
 * served with are logged once, and the previous certificate stays. Disposing it ends the checks.
 */
export function watchTls(
  options: TlsOptions,
  current: TlsMaterial,
  everyMs: number,
  changed: (material: TlsMaterial) => void,
  log: Logger,
): Disposable {
  let served = JSON.stringify(current);
  let complaint: string | undefined;
  const look = async (): Promise<void> => {
    try {
      const material = await readTls(options);
      const text = JSON.stringify(material);
      if (text !== served) changed(material);
      served = text;
      complaint = undefined;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== complaint) log.error({ err: error }, "the new certificate is not used: the old one is kept");
      complaint = message;
    }
  };
  const timer = setInterval(() => void look(), everyMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

async function read(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new TlsError(`${path} cannot be read: ${fileErrorReason(error)}`, { cause: error });
  }
}

function certificateIn(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new TlsError(`${path} holds no certificate in PEM`, { cause: error });
  }
}

function keyIn(pem: string, path: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw new TlsError(`${path} holds no key in PEM that can be used without a password`, { cause: error });
  }
}
