/** Manifests over HTTP: pull (end-3), push (end-7a, 7b), delete (end-9). */
import { digest as digestIn, parseDigest } from "../../oci/digest.ts";
import type { Digest } from "../../oci/digest.ts";
import { ignoreDeviations } from "../../oci/deviation.ts";
import { OciError } from "../../oci/error.ts";
import { MAX_MANIFEST_SIZE, readManifest } from "../../oci/manifest.ts";
import {
  DOCKER_LIST,
  DOCKER_MANIFEST,
  DOCKER_SCHEMA1,
  DOCKER_SCHEMA1_SIGNED,
  essenceOf,
} from "../../oci/media-type.ts";
import { textOf } from "../../oci/reference.ts";
import type { Reference } from "../../oci/reference.ts";
import { tag as tagIn } from "../../oci/tag.ts";
import type { Tag } from "../../oci/tag.ts";
import { manifestUnknown } from "../../oci/unknown.ts";
import { manifestTooLarge } from "../../registry/manifests.ts";
import type { Manifest, ManifestDescriptor, PutManifest } from "../../registry/manifests.ts";
import type { Repository } from "../../registry/repository.ts";
import { tagCondition } from "../http/conditions.ts";
import type { Context } from "../context.ts";
import { LIMITS } from "../http/limits.ts";
import { manifestPath } from "../http/links.ts";
import { bytesBody, empty } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";
import type { Representation } from "../http/representation.ts";
import type { Route } from "../routes.ts";
import { warningHeaders } from "../http/warnings.ts";

/** From this share of a limit on its nearness is told. */
const NEAR = 0.75;

type ManifestRoute = Extract<Route, { kind: "manifest" }>;

export async function getManifest(
  { namespace, options, request }: Context,
  { name, reference }: ManifestRoute,
): Promise<Representation> {
  const found = await chooseFor(request, namespace.repository(name), reference);
  if (!found) throw manifestUnknown(name, { reference: textOf(reference) });
  const { digest, mediaType, size, payload, isForAll = true } = found;
  return {
    headers: { "docker-content-digest": digest, vary: "Accept" },
    contentHeaders: { "content-type": mediaType },
    digest,
    size,
    ...(payload && { body: bytesBody(payload) }),
    ...(isForAll && !options.renewsManifests && { cacheable: {} }),
  };
}

export async function putManifest(
  { namespace, request, body, parameters }: Context,
  route: ManifestRoute,
): Promise<Reply> {
  const { name, reference } = route;
  const [digest, tags] = targetsOf(reference, parameters);
  const payload = await body.readSmall(MAX_MANIFEST_SIZE, manifestTooLarge);
  const contentType = request.headers.get("content-type");
  const condition = reference.kind === "tag" ? tagCondition(request.headers) : undefined;
  const put = await namespace.repository(name).manifests.put(payload, {
    tags,
    ...(contentType ? { mediaType: essenceOf(contentType) } : {}),
    ...(digest ? { digest } : {}),
    ...(condition ? { condition } : {}),
  });
  return empty(201, {
    location: manifestPath(name, put.digest),
    "docker-content-digest": put.digest,
    // "the registry MUST set the response header OCI-Subject to the value of the subject's digest".
    ...(put.subject === undefined ? {} : { "oci-subject": put.subject }),
    ...warningHeaders(warningsAbout(put)),
    // "the registry MUST … OCI-Tag for each tag" (end-7b).
    ...(reference.kind === "digest" && tags.length > 0 ? { "oci-tag": tags.join(", ") } : {}),
  });
}

/** What a person would like to know before it hurts. */
function warningsAbout({ mediaType, size, missing, deviations, deviationCount }: PutManifest): readonly string[] {
  const warnings: string[] = [];
  if (mediaType === DOCKER_SCHEMA1_SIGNED) {
    warnings.push("this is a manifest of Docker's schema 1, which containerd 2 and newer engines do not pull");
  }
  if (size > MAX_MANIFEST_SIZE * NEAR) {
    warnings.push(`the manifest has ${size} bytes, near the limit of ${MAX_MANIFEST_SIZE}`);
  }
  for (const { path, reason } of deviations) warnings.push(`${path} ${reason}`);
  if (deviationCount > deviations.length) {
    warnings.push(`${deviationCount - deviations.length} more deviations from the OCI image spec`);
  }
  if (missing.length > 0) {
    warnings.push(`${missing.length} blobs or manifests that the manifest references are not in this repository`);
  }
  return warnings;
}

export async function deleteManifest({ namespace, request }: Context, route: ManifestRoute): Promise<Reply> {
  const { name, reference } = route;
  const repository = namespace.repository(name);
  if (reference.kind === "tag") await repository.tags.delete(reference.tag, tagCondition(request.headers));
  else await repository.manifests.delete(reference.digest);
  return empty(202);
}

/** A manifest whose bytes are left out when only its facts are wanted. */
interface Found extends ManifestDescriptor {
  readonly payload?: Uint8Array;
  /** False when a client that accepts something else would be given something else. */
  readonly isForAll?: boolean;
}

async function chooseFor(request: Request, repository: Repository, reference: Reference): Promise<Found | undefined> {
  const wantsPayload = request.method === "GET";
  if (reference.kind === "digest") {
    return await repository.manifests[wantsPayload ? "find" : "stat"](reference.digest);
  }
  const found = await repository.tags[wantsPayload ? "find" : "stat"](reference.tag);
  if (found?.mediaType !== DOCKER_LIST) return found;
  if (!knowsOnlySingleImages(request.headers.get("accept"))) return { ...found, isForAll: false };
  // Docker before 2016 requests single images only, and gets the one that it can run.
  const list = await repository.manifests.find(found.digest);
  const child = list && childForOldClients(list);
  const image = child && (await repository.manifests[wantsPayload ? "find" : "stat"](child));
  return { ...(image ?? found), isForAll: false };
}

const SINGLE_DOCKER_IMAGES: ReadonlySet<string> = new Set([DOCKER_MANIFEST, DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED]);

/** Whether every type that the client names is a Docker manifest of one image. */
function knowsOnlySingleImages(accept: string | null): boolean {
  const types = (accept ?? "")
    .split(",")
    .map(essenceOf)
    .filter((type) => type !== "");
  return types.length > 0 && types.every((type) => SINGLE_DOCKER_IMAGES.has(type));
}

function childForOldClients(list: Manifest): Digest | undefined {
  const { children } = readManifest(list.payload, list.mediaType, ignoreDeviations);
  const child = children.find(({ platform }) => platform?.os === "linux" && platform.architecture === "amd64");
  return child && parseDigest(child.digest);
}

/** What is pushed to: the digest that the bytes must have, if the client says one, and the tags that shall point there. */
function targetsOf(reference: Reference, parameters: URLSearchParams): [Digest | undefined, readonly Tag[]] {
  const tags = parameters.getAll("tag");
  if (reference.kind === "tag") {
    if (tags.length > 0) {
      throw new OciError("UNSUPPORTED", {
        status: 400,
        message: "?tag= goes with a push by digest: put the manifest under its digest, or leave ?tag= out",
      });
    }
    const named = parameters.get("digest");
    return [named === null ? undefined : digestIn(named), [reference.tag]];
  }
  // Each of them is repeated in a header of the reply.
  if (tags.length > LIMITS.maxTagsPerPush || tags.join(", ").length > LIMITS.maxHeaderValueBytes) {
    throw new OciError("UNSUPPORTED", {
      status: 414,
      message:
        `at most ${LIMITS.maxTagsPerPush} tags, of ${LIMITS.maxHeaderValueBytes} characters together, go with one push: ` +
        "send the others with another",
      detail: { tags: tags.length },
    });
  }
  return [reference.digest, [...new Set(tags.map(tagIn))]];
}
