/** A certificate that the server gets by itself, as `http.tls.letsencrypt` says. */
import { resolve } from "node:path";
import type { CertificateKeeper } from "../acme/certificate-keeper.ts";
import { parseAddress } from "../config/address.ts";
import type { ListenAddress } from "../config/address.ts";
import type { Settings } from "../config/schema.ts";
import type { Registry } from "../create-registry.ts";
import { systemClock } from "../lib/clock.ts";
import type { Logger } from "../observe/logger.ts";
import { createChallengeHandler } from "../server/ops/acme-challenge.ts";
import { ListenError, listen } from "../server/listen/listen.ts";
import { CommandError } from "./command-error.ts";

export interface ProvidedCertificate {
  /** Of the file that holds both the certificate and its key. */
  readonly path: string;
  /** Until `signal` says stop. */
  renewInBackground(signal: AbortSignal): Promise<void>;
  /** Closes the address for challenges. */
  stop(): Promise<void>;
}

/** Resolves when there is a certificate to serve with; undefined when the settings do not ask for one. */
export async function provideCertificate(
  { http }: Settings,
  registry: Registry,
  log: Logger,
): Promise<ProvidedCertificate | undefined> {
  const { letsencrypt, certificate, key } = http.tls;
  if (!letsencrypt) return undefined;
  if ((certificate ?? key) !== undefined) {
    throw new CommandError("http.tls has both letsencrypt and certificate: remove one of them");
  }
  const address = parseAddress(http.addr);
  if (address?.kind !== "tcp")
    throw new CommandError("http.addr is a Unix socket, which does not support TLS: use host:port");
  const challengeAddress = parseAddress(letsencrypt.challengeaddr);
  if (!challengeAddress) throw new CommandError(`${letsencrypt.challengeaddr} is not an address`);

  // Loaded when it is wanted, and not before.
  const { CertificateFolder, CertificateFolderError } = await import("../acme/certificate-folder.ts");
  const { CertificateError, CertificateKeeper: Keeper, LEASE_MS } = await import("../acme/certificate-keeper.ts");
  const { cachefile, directoryurl: directory, email, hosts: names } = letsencrypt;
  const folder = await CertificateFolder.open(resolve(cachefile), directory).catch((error: unknown) => {
    if (!(error instanceof CertificateFolderError)) throw error;
    throw new CommandError(`http.tls.letsencrypt.cachefile: ${error.message}`, { cause: error });
  });
  const handler = createChallengeHandler({
    answerTo: (token) => folder.answer(token),
    names,
    originOf: (name) => (http.host === undefined ? originAt(name, address) : new URL(http.host).origin),
  });
  const challenges = await listen(challengeAddress, handler, { log }).catch((error: unknown) => {
    if (!(error instanceof ListenError)) throw error;
    throw new CommandError(`http.tls.letsencrypt.challengeaddr: ${error.message}`, { cause: error });
  });
  const lease = registry.lease("certificate", LEASE_MS);
  const keeper: CertificateKeeper = new Keeper({ folder, directory, email, names, lease, clock: systemClock, log });
  await keeper.provide().catch(async (error: unknown) => {
    await challenges.stop();
    if (!(error instanceof CertificateError)) throw error;
    throw new CommandError(
      `http.tls.letsencrypt: no certificate for ${names.join(", ")}: ${error.message}. Check that this machine ` +
        `can reach ${directory}, that DNS resolves each name to this machine, and that port 80 reaches ${challenges.url}`,
      { cause: error },
    );
  });
  return {
    path: folder.certificatePath,
    renewInBackground: (signal) => keeper.renewInBackground(signal),
    async stop() {
      await challenges.stop();
    },
  };
}

function originAt(name: string, { port }: ListenAddress & { readonly kind: "tcp" }): string {
  return `https://${name}${port === 443 ? "" : `:${port}`}`;
}
