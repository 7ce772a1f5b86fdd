/** The software bill of materials, in SPDX 2.3 (https://spdx.github.io/spdx-spec/v2.3/). */
import { createHash } from "node:crypto";
import manifest from "../../package.json";
import type { Commit } from "../commit.ts";
import type { Component } from "./components.ts";

export const SPDX = "application/spdx+json";

/** What an image for `platform`, such as `linux/amd64`, is made of. The same components give the same document. */
export function sbomOf(platform: string, components: readonly Component[], { id = "unknown", time }: Commit): object {
  const root = "SPDXRef-stowage";
  const packages = components.map((component, index) => spdxPackage(component, index));
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `stowage-${manifest.version}-${platform}`,
    documentNamespace: `urn:uuid:${uuidOf(JSON.stringify([platform, id, components]))}`,
    creationInfo: {
      created: new Date(time * 1000).toISOString().replace(/\.\d+/, ""),
      creators: ["Tool: stowage-build-image"],
    },
    packages: [
      {
        SPDXID: root,
        name: "stowage",
        versionInfo: manifest.version,
        downloadLocation: "NOASSERTION",
        sourceInfo: `commit ${id}`,
        filesAnalyzed: false,
        licenseConcluded: "NOASSERTION",
        licenseDeclared: manifest.license,
        copyrightText: "NOASSERTION",
        primaryPackagePurpose: "CONTAINER",
      },
      ...packages,
    ],
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: root },
      ...packages.map(({ SPDXID }) => ({
        spdxElementId: root,
        relationshipType: "CONTAINS",
        relatedSpdxElement: SPDXID,
      })),
    ],
  };
}

function spdxPackage({ name, version, purl, license, checksum }: Component, index: number) {
  return {
    SPDXID: `SPDXRef-Package-${index}`,
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: license ?? "NOASSERTION",
    copyrightText: "NOASSERTION",
    checksums: [{ algorithm: checksum.algorithm.toUpperCase(), checksumValue: checksum.hex }],
    externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
  };
}

/** A UUID of version 8 (RFC 9562): the same text gives the same one. */
function uuidOf(text: string): string {
  const hex = createHash("sha256").update(text).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
