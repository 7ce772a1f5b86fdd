/** A set of content as the official conformance suite makes them: blobs, manifests over them, tags and referrers. */
import { gzipSync } from "node:zlib";
import {
  bytesOf,
  descriptorOf,
  digestOf,
  imageIndex,
  imageManifest,
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_INDEX,
  OCI_LAYER,
  OCI_MANIFEST,
} from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";

export const EXAMPLE_1 = "application/vnd.example.oci.conformance.v1";
export const EXAMPLE_2 = "application/vnd.example.oci.conformance.v2";
export const LAYER_TAR = "application/vnd.oci.image.layer.v1.tar";
export const AMD64: Properties = { os: "linux", architecture: "amd64" };
export const ARM64: Properties = { os: "linux", architecture: "arm64" };

export type Properties = Readonly<Record<string, unknown>>;

export interface DataManifest {
  readonly digest: string;
  readonly mediaType: string;
  readonly body: string;
  /** Digest of what it refers to. */
  readonly subject?: string;
}

export interface ManifestOptions {
  readonly tag?: string;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly subject?: TestDescriptor;
  /** More properties of the manifest. */
  readonly more?: Properties;
}

export interface ImageOptions extends ManifestOptions {
  readonly platform?: Properties;
  readonly layers?: number;
  readonly compressed?: boolean;
  /** More properties of the config. */
  readonly configMore?: Properties;
}

export interface DataSetOptions {
  readonly algorithm?: "sha256" | "sha512";
  /** Descriptors carry their content in `data`. */
  readonly withData?: boolean;
}

export class DataSet {
  readonly title: string;
  readonly algorithm: "sha256" | "sha512";
  /** By digest. */
  readonly blobs = new Map<string, Uint8Array<ArrayBuffer>>();
  /** In an order in which they can be pushed. */
  readonly manifests: DataManifest[] = [];
  /** Digests by tag. */
  readonly tags = new Map<string, string>();
  /** What the referrers of a digest must be. */
  readonly referrers = new Map<string, TestDescriptor[]>();
  /** Whether the manifests bring their tags along, as `?tag=`. */
  pushesTags = false;
  readonly #withData: boolean;

  constructor(title: string, { algorithm = "sha256", withData = false }: DataSetOptions = {}) {
    this.title = title;
    this.algorithm = algorithm;
    this.#withData = withData;
  }

  addBlob(mediaType: string, content: Uint8Array | string): TestDescriptor {
    const bytes = new Uint8Array(Buffer.from(content));
    const descriptor = this.#describe(mediaType, bytes);
    this.blobs.set(descriptor.digest, bytes);
    return descriptor;
  }

  addLayer(compressed = true): TestDescriptor {
    const content = bytesOf(`${this.title}/layer/${this.blobs.size}`, 2048);
    return compressed ? this.addBlob(OCI_LAYER, gzipSync(content)) : this.addBlob(LAYER_TAR, content);
  }

  addConfig(platform: Properties = AMD64, more: Properties = {}): TestDescriptor {
    const diffIds = [digestOf(`${this.title}/${this.blobs.size}`)];
    const config = { author: "conformance", ...platform, rootfs: { type: "layers", diff_ids: diffIds }, ...more };
    return this.addBlob(OCI_CONFIG, JSON.stringify(config));
  }

  /** An image with a config and layers of its own. */
  addImage({ platform, layers = 2, compressed = true, configMore, ...options }: ImageOptions = {}): TestDescriptor {
    const config = this.addConfig(platform, configMore);
    return this.addManifest(
      config,
      Array.from({ length: layers }, () => this.addLayer(compressed)),
      options,
    );
  }

  /** An artifact: an empty config, and one blob of `contentType`. */
  addArtifact(contentType: string, options: ManifestOptions = {}): TestDescriptor {
    const config = this.addBlob(OCI_EMPTY, "{}");
    const content = contentType === OCI_EMPTY ? "{}" : bytesOf(`${this.title}/blob/${this.blobs.size}`, 2048);
    return this.addManifest(config, [this.addBlob(contentType, content)], { artifactType: EXAMPLE_1, ...options });
  }

  addManifest(
    config: TestDescriptor,
    layers: readonly TestDescriptor[],
    options: ManifestOptions = {},
  ): TestDescriptor {
    const body = imageManifest(config, layers, propertiesOf(options));
    return this.#add(OCI_MANIFEST, body, options, options.artifactType ?? config.mediaType);
  }

  addIndex(children: readonly TestDescriptor[], options: ManifestOptions = {}): TestDescriptor {
    return this.#add(OCI_INDEX, imageIndex(children, propertiesOf(options)), options, options.artifactType);
  }

  #add(
    mediaType: string,
    body: string,
    { tag, subject, annotations }: ManifestOptions,
    artifactType: string | undefined,
  ): TestDescriptor {
    const descriptor = this.#describe(mediaType, body);
    const { digest, size } = descriptor;
    this.manifests.push({ digest, mediaType, body, ...(subject ? { subject: subject.digest } : {}) });
    if (tag !== undefined) this.tags.set(tag, digest);
    if (subject) {
      const referrer = {
        mediaType,
        digest,
        size,
        ...(artifactType ? { artifactType } : {}),
        ...(annotations ? { annotations } : {}),
      };
      this.referrers.set(subject.digest, [...(this.referrers.get(subject.digest) ?? []), referrer]);
    }
    return descriptor;
  }

  #describe(mediaType: string, content: Uint8Array | string): TestDescriptor {
    const data = this.#withData ? { data: Buffer.from(content).toString("base64") } : {};
    return descriptorOf(mediaType, content, { digest: digestOf(content, this.algorithm), ...data });
  }
}

function propertiesOf({ artifactType, annotations, subject, more }: ManifestOptions): Properties {
  return {
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations ? { annotations } : {}),
    ...(subject ? { subject } : {}),
    ...more,
  };
}
