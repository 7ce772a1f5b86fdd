/** What an artifact is made of: anything but an image, such as a Helm chart or an SBOM. */
import type { ManifestDetails } from "../api-types.ts";
import { Bytes, ShortDigest } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";

/** The name of a file (OCI image specification, "Pre-Defined Annotation Keys"). */
const TITLE = "org.opencontainers.image.title";

export function Artifact({ manifest }: { readonly manifest: ManifestDetails }) {
  const { artifactType, mediaType, layers } = manifest;
  return (
    <>
      <dl class="facts">
        <dt>{TEXTS.type}</dt>
        <dd class="mono">{artifactType ?? mediaType}</dd>
      </dl>
      <h2>{TEXTS.files}</h2>
      <ul class="files">
        {layers.map(({ digest, mediaType: type, size, annotations }) => (
          <li key={digest}>
            <span class="mono">{annotations[TITLE] ?? type}</span> <Bytes bytes={size} />{" "}
            <ShortDigest digest={digest} />
          </li>
        ))}
      </ul>
    </>
  );
}
