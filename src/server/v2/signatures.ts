/** Signatures over HTTP: the extension of containers/image ("X-Registry-Supports-Signatures"), behind its setting. */
import { OciError } from "../../oci/error.ts";
import { parseSignature } from "../../oci/signature.ts";
import { manifestUnknown } from "../../oci/unknown.ts";
import type { Context } from "../context.ts";
import { LIMITS } from "../http/limits.ts";
import { empty } from "../http/reply.ts";
import type { Reply } from "../http/reply.ts";
import { jsonDocument } from "../http/representation.ts";
import type { Representation } from "../http/representation.ts";
import type { Route } from "../routes.ts";

type SignaturesRoute = Extract<Route, { kind: "signatures" }>;

/** How `GET /v2/` tells clients that they are here; they then look nowhere else for signatures of this registry. */
export const SIGNATURES_HEADER: Readonly<Record<string, string>> = { "x-registry-supports-signatures": "1" };

/** An empty list for an image without signatures: anything but 200 would make clients refuse to pull it. */
export async function getSignatures({ namespace }: Context, route: SignaturesRoute): Promise<Representation> {
  const { digest } = route;
  const repository = namespace.repository(route.name);
  if (!(await repository.manifests.exists(digest))) throw manifestUnknown(repository.name, { digest });
  const signatures = (await repository.signatures.list(digest)).map(({ name, content }) => ({
    schemaVersion: 2,
    name,
    type: "atomic",
    content: Buffer.from(content).toString("base64"),
  }));
  return jsonDocument({ signatures });
}

export async function putSignature({ namespace, body }: Context, route: SignaturesRoute): Promise<Reply> {
  const { digest } = route;
  const repository = namespace.repository(route.name);
  const document = await body.readSmall(LIMITS.maxSignatureBytes, signatureTooLarge);
  await repository.signatures.add(digest, parseSignature(document, digest));
  return empty(201);
}

function signatureTooLarge(): OciError {
  return new OciError("SIGNATURE_INVALID", {
    status: 413,
    message: `a signature may have at most ${LIMITS.maxSignatureBytes} bytes`,
    detail: { limit: LIMITS.maxSignatureBytes },
  });
}
