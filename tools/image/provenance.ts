/** How the image was built: SLSA provenance (https://slsa.dev/spec/v1.0/provenance) in an in-toto statement. */
import manifest from "../../package.json";
import type { Commit } from "../commit.ts";
import type { Component } from "./components.ts";
import type { Descriptor } from "./oci-layout.ts";

export const IN_TOTO = "application/vnd.in-toto+json";
export const SLSA_PROVENANCE = "https://slsa.dev/provenance/v1";

/** Says of `subject` which commit and which packages it was built from. The builder is named by the workflow that runs it. */
export function provenanceOf(subject: Descriptor, components: readonly Component[], { id, time }: Commit): object {
  const [algorithm = "", hex = ""] = subject.digest.split(":");
  const source = id === undefined ? [] : [{ name: "source", digest: { gitCommit: id.replace("-dirty", "") } }];
  return {
    _type: "https://in-toto.io/Statement/v1",
    subject: [{ name: "stowage", digest: { [algorithm]: hex } }],
    predicateType: SLSA_PROVENANCE,
    predicate: {
      buildDefinition: {
        buildType: "urn:stowage:build-image:v1",
        externalParameters: { version: manifest.version, hasLocalChanges: id?.endsWith("-dirty") ?? true },
        internalParameters: { sourceDateEpoch: time, bun: Bun.version },
        resolvedDependencies: [
          ...source,
          ...components.map(({ purl, checksum }) => ({ uri: purl, digest: { [checksum.algorithm]: checksum.hex } })),
        ],
      },
      runDetails: { builder: { id: process.env["STOWAGE_BUILDER_ID"] ?? "urn:stowage:builder:local" } },
    },
  };
}
