/** Uploads over HTTP (distribution-spec, "Pushing blobs"): end-4a, 4b, 4c, 5, 6, 11, 13, 14. */
import { nameOf } from "../../auth/policy.ts";
import { customerNetwork } from "../../lib/network.ts";
import { digest as digestIn, parseAlgorithm, parseDigest } from "../../oci/digest.ts";
import type { Algorithm, Digest } from "../../oci/digest.ts";
import { OciError } from "../../oci/error.ts";
import { parseRepositoryName } from "../../oci/repository-name.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { uploadUnknown } from "../../oci/unknown.ts";
import type { BlobService } from "../../registry/blobs.ts";
import type { BlobUpload, ChunkPlace } from "../../registry/uploads.ts";
import type { Context } from "../context.ts";
import { RefusedWithHeaders, refusalIn } from "../http/error-reply.ts";
import { OFFSET, blobPath, uploadPath } from "../http/links.ts";
import { parseContentRange } from "../http/ranges.ts";
import { empty } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";
import type { Route } from "../routes.ts";

type UploadsRoute = Extract<Route, { kind: "uploads" }>;
type UploadRoute = Extract<Route, { kind: "upload" }>;

/** Begins an upload, or does with one request: a mount, or a blob that comes with it. */
export async function postUpload(context: Context, route: UploadsRoute): Promise<Reply> {
  const { namespace, request, parameters, body, authorization } = context;
  const { name } = route;
  const { blobs } = namespace.repository(name);

  const mounted = await mount(blobs, parameters, (from) => authorization.may("pull", from));
  if (mounted) return created(name, mounted);

  const algorithm = announcedAlgorithm(parameters);
  const client = clientOf(context);
  if (!parameters.has("digest")) {
    const upload = await blobs.upload({ ...(algorithm ? { algorithm } : {}), client });
    return empty(202, { ...uploadHeaders(name, upload.id, 0), location: uploadPath(name, upload.id) });
  }
  // "POST … ?digest=": the blob comes with the request.
  const digests = digestsOf(parameters);
  const announced = body.announced ?? 0;
  const upload = await blobs.upload({ announced, client });
  try {
    await upload.finish(digests, body.whole(), { announced }, request.signal);
  } catch (error) {
    await cancelIfThere(upload); // its Location was never sent
    throw error;
  }
  return created(name, digests[0]);
}

/** One chunk, or a stream of unknown length. */
export function patchUpload(context: Context, route: UploadRoute): Promise<Reply> {
  return withUpload(context, route, async (name, upload) => {
    const size = await upload.append(context.body.pieces(), placeOf(context));
    return empty(202, uploadHeaders(name, upload.id, size));
  });
}

/** Closes the upload, perhaps with the last chunk or with all of it. */
export function putUpload(context: Context, route: UploadRoute): Promise<Reply> {
  return withUpload(context, route, async (name, upload) => {
    const digests = digestsOf(uploadParameters(context.request));
    await upload.finish(digests, context.body.whole(), placeOf(context), context.request.signal);
    return created(name, digests[0]);
  });
}

/** The state of an upload, for clients that lost track. */
export function getUpload(context: Context, route: UploadRoute): Promise<Reply> {
  return withUpload(context, route, async (name, upload) => {
    const size = await upload.tell();
    if (size === undefined) throw uploadUnknown(upload.id);
    return empty(204, uploadHeaders(name, upload.id, size));
  });
}

export function deleteUpload(context: Context, route: UploadRoute): Promise<Reply> {
  return withUpload(context, route, async (_name, upload) => {
    await upload.cancel();
    // "the registry … SHOULD … 204 No Content" (end-14).
    return empty(204, { "docker-upload-uuid": upload.id });
  });
}

/** Finds the upload. Refusals contain its state while it exists. */
async function withUpload(
  { namespace }: Context,
  route: UploadRoute,
  work: (name: RepositoryName, upload: BlobUpload) => Promise<Reply>,
): Promise<Reply> {
  const { name } = route;
  const { blobs } = namespace.repository(name);
  const upload = await blobs.resume(route.id);
  if (!upload) throw uploadUnknown(route.id);
  try {
    return await work(name, upload);
  } catch (error) {
    const still = refusalIn(error) && (await blobs.resume(upload.id));
    throw still ? new RefusedWithHeaders(error, uploadHeaders(name, still.id, still.size)) : error;
  }
}

/** The digest of the blob that was mounted; undefined when an ordinary upload has to do. */
async function mount(
  blobs: BlobService,
  parameters: URLSearchParams,
  mayRead: (from: RepositoryName) => boolean,
): Promise<Digest | undefined> {
  // "if the registry cannot mount the blob, it SHOULD return a 202": so also when it is named badly.
  const digest = parseDigest(parameters.get("mount") ?? "");
  if (!digest) return undefined;
  const from = parseRepositoryName(parameters.get("from") ?? "");
  return (await blobs.mount(digest, from, mayRead)) ? digest : undefined;
}

function announcedAlgorithm(parameters: URLSearchParams): Algorithm | undefined {
  const named = parameters.get("digest-algorithm");
  if (named === null) return undefined;
  const algorithm = parseAlgorithm(named);
  if (algorithm) return algorithm;
  throw new OciError("DIGEST_INVALID", {
    message: "unsupported digest algorithm: use sha256 or sha512",
    detail: { "digest-algorithm": named.slice(0, 64) },
  });
}

/** The parameters behind an upload's address. Some scripts append `?digest=…` though there are others already. */
function uploadParameters({ url }: Request): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1).replaceAll("?", "&"));
}

/** The client for `limits.uploads`: the principal, else the network of the address; undefined when neither is known. */
function clientOf({ authorization: { principal }, caller: { address } }: Context): string | undefined {
  return principal ? nameOf(principal) : address && customerNetwork(address);
}

/** Every digest that the client names: all of them are verified. */
function digestsOf(parameters: URLSearchParams): readonly [Digest, ...Digest[]] {
  const [first, ...others] = parameters.getAll("digest");
  if (first === undefined) {
    throw new OciError("DIGEST_INVALID", {
      message: "the digest of the blob is missing: close the upload with ?digest=",
    });
  }
  return [digestIn(first), ...others.map(digestIn)];
}

/**
 * Where the bytes of a request belong: as `Content-Range` says. Without it, they go on where the upload stood when the
 * address was given: a client that sends a stream once more, because the answer to the first time was lost, must not add
 * the same bytes twice. A request without bytes belongs anywhere.
 */
function placeOf({ request, body }: Context): ChunkPlace {
  const { announced } = body;
  const header = request.headers.get("content-range");
  if (header !== null) return { ...(parseContentRange(header) ?? refuseRange("content-range", header)), announced };
  const offset = uploadParameters(request).get(OFFSET) ?? "";
  if (offset === "" || body.isEmpty) return { announced };
  return /^\d{1,16}$/.test(offset) ? { start: Number(offset), announced } : refuseRange(OFFSET, offset);
}

function refuseRange(where: "content-range" | typeof OFFSET, said: string): never {
  throw new OciError("BLOB_UPLOAD_INVALID", {
    status: 416,
    message:
      where === OFFSET
        ? "this is not a Location that the registry returned: continue at the Location of the last response"
        : "Content-Range must say where the chunk begins and ends, such as 0-499",
    detail: { [where]: said.slice(0, 128) },
  });
}

/**
 * `Range` says how much is here, counted from byte 0 and without a unit. With nothing here it must still have two
 * numbers, and clients refuse an end before the start: 0-0.
 */
function uploadHeaders(name: RepositoryName, id: string, size: number): Record<string, string> {
  return {
    location: uploadPath(name, id, size),
    range: `0-${Math.max(0, size - 1)}`,
    "docker-upload-uuid": id,
  };
}

function created(name: RepositoryName, digest: Digest): Reply {
  return empty(201, { location: blobPath(name, digest), "docker-content-digest": digest });
}

async function cancelIfThere(upload: BlobUpload): Promise<void> {
  try {
    await upload.cancel();
  } catch (error) {
    if (!(error instanceof OciError)) throw error; // it has ended by itself
  }
}
