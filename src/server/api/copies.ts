/** Copies within the registry: no byte of a blob is transferred. */
import { z } from "zod";
import { OciError } from "../../oci/error.ts";
import { parseReference } from "../../oci/reference.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import { manifestUnknown } from "../../oci/unknown.ts";
import { Importer } from "../../registry/import/importer.ts";
import { SourceError } from "../../registry/import/image-source.ts";
import { localSource } from "../../registry/inventory/local-source.ts";
import { Count, DigestText, operation } from "./operation.ts";

const Copy = z
  .object({
    digest: DigestText,
    manifests: Count.meta({ description: "Manifests that were not there before." }),
  })
  .meta({ id: "Copy" });

export const copyOperations = [
  operation({
    id: "copyImage",
    resource: "copies",
    method: "POST",
    summary: "Copy an image of another repository into this one",
    description: "Blobs are mounted. The client must be allowed to pull from the other repository.",
    body: z
      .strictObject({
        from: z.string().meta({ description: "The other repository." }),
        reference: z.string().meta({ description: "A tag or a digest there." }),
        tag: z.string().optional().meta({ description: "The tag here; none when absent." }),
        referrers: z
          .boolean()
          .default(true)
          .meta({ description: "Whether signatures and other referrers come along." }),
      })
      .meta({ id: "CopyRequest" }),
    answer: Copy,
    refusals: [404, 409],
    run: async ({ context: { namespace, authorization }, name, body }) => {
      const from = repositoryName(body.from);
      const to = body.tag === undefined ? undefined : tag(body.tag);
      if (!authorization.may("pull", from)) {
        throw new OciError("DENIED", { message: `pull from ${from} is required for a copy` });
      }
      const reference = parseReference(body.reference);
      const source = localSource(namespace, { withReferrers: body.referrers });
      const digest = reference && (await source.digestOf(from, body.reference));
      if (digest === undefined) throw manifestUnknown(from, { reference: body.reference.slice(0, 256) });
      const failures: unknown[] = [];
      // The source is read from one repository, whatever the name of the target.
      const ofFrom = { ...source, manifest: (_: string, of: string) => source.manifest(from, of) };
      const importer = new Importer(
        namespace,
        {
          ...ofFrom,
          digestOf: (_, of) => source.digestOf(from, of),
          blob: (_, of) => source.blob(from, of),
          referrers: (_, of) => source.referrers(from, of),
        },
        // A manifest may name foreign layers that its repository does not have: another repository may be a secret one.
        { parallel: 1, mountFrom: from, onFailure: (_, error) => failures.push(error) },
      );
      await importer.image(name, digest, to);
      const [failure] = failures;
      if (failure instanceof SourceError) {
        throw new OciError("MANIFEST_BLOB_UNKNOWN", {
          status: 409,
          message: `${from} does not have all of the image: ${failure.message}`,
        });
      }
      if (failure instanceof Error) throw failure;
      const { manifests } = importer.counts;
      return {
        body: { digest, manifests },
        changes: [{ action: "push", object: "manifest", repository: name, digest, ...(to && { tags: [to] }) }],
      };
    },
  }),
];
