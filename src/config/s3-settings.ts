/** Settings of the bucket that holds the bytes of blobs: distribution's names. */
import { z } from "./zod.ts";
import { parseUrl } from "../lib/parse-url.ts";
import { bytes } from "./values.ts";

/** S3's own rule for parts of a large upload; and what some of them may have in memory at a time. */
const MIN_CHUNK = 5 * 1024 ** 2;
const MAX_CHUNK = 128 * 1024 ** 2;

/** A text that counts as absent when it is empty: templates of settings files often have names without values. */
function optionalText(expected: string) {
  return z
    .string({ error: expected })
    .optional()
    .transform((text) => (text === "" ? undefined : text));
}

/** What no bucket can be found without. */
const NEEDED = {
  bucket: "expected the name of a bucket",
  region: "expected a region such as us-east-1 (any word, where the service has none)",
} as const;

const EXPECTED_CHUNK = "expected 5MiB to 128MiB";
const EXPECTED_ADDRESS = "expected an address such as https://s3.example.com:9000";
const EXPECTED_KEY = "expected a key, in quotes when it is a number";

const STORAGE_CLASSES = [
  "NONE",
  "STANDARD",
  "REDUCED_REDUNDANCY",
  "STANDARD_IA",
  "ONEZONE_IA",
  "INTELLIGENT_TIERING",
  "OUTPOSTS",
  "GLACIER_IR",
] as const;

const OBJECT_ACLS = [
  "private",
  "public-read",
  "public-read-write",
  "aws-exec-read",
  "authenticated-read",
  "bucket-owner-read",
  "bucket-owner-full-control",
] as const;

export const s3Settings = z
  .strictObject({
    bucket: z.string({ error: NEEDED.bucket }).min(1, NEEDED.bucket).optional(),
    region: z.string({ error: NEEDED.region }).min(1, NEEDED.region).optional(),
    /** `https://host:port`, or `host:port` with `secure`; Amazon's when absent. */
    regionendpoint: optionalText(EXPECTED_ADDRESS),
    rootdirectory: z.string("expected a path such as /stowage").default(""),
    forcepathstyle: z.boolean().optional(),
    accesskey: optionalText(EXPECTED_KEY),
    secretkey: optionalText(EXPECTED_KEY),
    sessiontoken: optionalText(EXPECTED_KEY),
    secure: z.boolean().default(true),
    skipverify: z.boolean().default(false),
    encrypt: z.boolean().default(false),
    keyid: optionalText("expected the name of a KMS key"),
    storageclass: z.enum(STORAGE_CLASSES).default("STANDARD"),
    objectacl: z.enum(OBJECT_ACLS).optional(),
    chunksize: bytes.pipe(z.number().min(MIN_CHUNK, EXPECTED_CHUNK).max(MAX_CHUNK, EXPECTED_CHUNK)).prefault("10MiB"),
    redirectendpoint: optionalText(EXPECTED_ADDRESS),
    accelerate: z.boolean().default(false),
    usedualstack: z.boolean().default(false),
    usefipsendpoint: z.boolean().default(false),
    useragent: optionalText("expected a text"),
  })
  .superRefine((settings, context) => {
    const { accesskey, secretkey, regionendpoint, redirectendpoint, secure, encrypt, keyid } = settings;
    const complain = (name: string, message: string): void => {
      context.addIssue({ code: "custom", path: [name], message });
    };
    for (const [name, expected] of Object.entries(NEEDED)) {
      if (settings[name as keyof typeof NEEDED] === undefined) complain(name, expected);
    }
    if (accesskey !== undefined && secretkey === undefined) {
      complain("secretkey", "expected the key that belongs to accesskey");
    }
    if (secretkey !== undefined && accesskey === undefined) {
      complain("accesskey", "expected the key that belongs to secretkey");
    }
    if (keyid !== undefined && !encrypt)
      complain("encrypt", "expected true, because keyid names a key to encrypt with");
    for (const [name, text] of Object.entries({ regionendpoint, redirectendpoint })) {
      if (text !== undefined && endpointUrl(text, secure) === undefined) complain(name, EXPECTED_ADDRESS);
    }
  });

/** With what cannot be absent. */
export type S3Settings = z.output<typeof s3Settings> & Readonly<Record<keyof typeof NEEDED, string>>;

/** The origin that an address of the settings means; undefined when it means none. */
export function endpointUrl(text: string, secure: boolean): string | undefined {
  const url = parseUrl(/^https?:\/\//i.test(text) ? text : `${secure ? "https" : "http"}://${text}`);
  if (!url || url.hostname === "" || url.pathname !== "/" || url.search !== "" || url.username !== "") return undefined;
  return url.origin;
}
