/** The keys that requests are signed with. */
import type { S3Credentials, S3Options } from "../s3-options.ts";

export type CredentialProvider = () => Promise<S3Credentials>;

/** The keys of the options, or those that the AWS tools would find. */
export function credentialProvider({ credentials }: S3Options): CredentialProvider {
  if (credentials) return () => Promise.resolve(credentials);
  let chain: Promise<CredentialProvider> | undefined;
  return async () => {
    // Loaded when it is needed: it reads files, the environment, and asks services of the cloud. It renews what expires.
    chain ??= import("@aws-sdk/credential-provider-node").then(({ defaultProvider }) => defaultProvider());
    return await (
      await chain
    )();
  };
}
