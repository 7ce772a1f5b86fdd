/** The bucket that the settings describe. */
import { endpointUrl } from "../config/s3-settings.ts";
import type { S3Settings } from "../config/s3-settings.ts";
import type { Settings } from "../config/schema.ts";
import type { S3Options } from "../storage/s3-options.ts";

/** Undefined when blobs lie in the data folder. */
export function s3OptionsOf({ storage: { redirect, ...storage } }: Settings): S3Options | undefined {
  if (!storage.s3) return undefined;
  const s3 = storage.s3 as S3Settings; // the schema refuses one without them
  const { bucket, region, accesskey, secretkey, sessiontoken, skipverify, chunksize, useragent, redirectendpoint } = s3;
  const endpoint = s3.regionendpoint === undefined ? amazonEndpoint(s3) : endpointUrl(s3.regionendpoint, s3.secure);
  const hasKeys = accesskey !== undefined && secretkey !== undefined;
  return {
    bucket,
    region,
    endpoint,
    prefix: s3.rootdirectory.replaceAll(/^\/+|\/+$/g, ""),
    // A bucket with a dot in its name has no certificate as a host.
    pathStyle: s3.forcepathstyle ?? (s3.regionendpoint !== undefined || bucket.includes(".")),
    skipVerify: skipverify,
    partBytes: chunksize,
    objectHeaders: objectHeaders(s3),
    userAgent: useragent,
    ...(hasKeys && { credentials: { accessKeyId: accesskey, secretAccessKey: secretkey, sessionToken: sessiontoken } }),
    ...(redirect.disable
      ? {}
      : {
          redirect: { endpoint: redirectendpoint === undefined ? undefined : endpointUrl(redirectendpoint, s3.secure) },
        }),
  };
}

/** Amazon's own address of a region. */
function amazonEndpoint({ region, accelerate, usedualstack, usefipsendpoint, secure }: S3Settings): string {
  const domain = region.startsWith("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  const dualStack = usedualstack ? ".dualstack" : "";
  const host = accelerate
    ? `s3-accelerate${dualStack}.${domain}`
    : `s3${usefipsendpoint ? "-fips" : ""}${dualStack}.${region}.${domain}`;
  return `${secure ? "https" : "http"}://${host}`;
}

/** What every object is written with. */
function objectHeaders({ encrypt, keyid, storageclass, objectacl }: S3Settings): Record<string, string> {
  const encryption = keyid === undefined ? "AES256" : "aws:kms";
  return {
    ...(encrypt && { "x-amz-server-side-encryption": encryption }),
    ...(encrypt && keyid !== undefined && { "x-amz-server-side-encryption-aws-kms-key-id": keyid }),
    // The default of the bucket, for services that know no classes.
    ...(storageclass !== "NONE" && storageclass !== "STANDARD" && { "x-amz-storage-class": storageclass }),
    ...(objectacl !== undefined && { "x-amz-acl": objectacl }),
  };
}
