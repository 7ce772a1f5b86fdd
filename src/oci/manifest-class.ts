/** What an image is for, as its config says it: distribution's classes of repositories. */
import { OciError } from "./error.ts";

export type ManifestClass = "image" | "plugin";

/** By the media type of the config. */
const CLASSES: Readonly<Record<string, ManifestClass>> = {
  "application/vnd.docker.container.image.v1+json": "image",
  "application/vnd.docker.plugin.v1+json": "plugin",
  "application/vnd.oci.image.config.v1+json": "image",
};

/** Returns the class of images with a config of this media type; undefined for one that is of none. */
export function classOf(configType: string): ManifestClass | undefined {
  return Object.hasOwn(CLASSES, configType) ? CLASSES[configType] : undefined;
}

/** Refuses with `DENIED` an image whose config is of no class among `allowed`; an index has no config, and so no class. */
export function checkClass(
  config: { readonly mediaType: string } | undefined,
  allowed: readonly ManifestClass[],
): void {
  if (!config) return;
  const found = classOf(config.mediaType);
  if (found !== undefined && allowed.includes(found)) return;
  const what = found ?? `unknown (config ${config.mediaType.slice(0, 256)})`;
  const message = `this registry takes manifests of the class ${allowed.join(" or ")}, and this one's is ${what} (policy.repository.classes)`;
  throw new OciError("DENIED", { message });
}
