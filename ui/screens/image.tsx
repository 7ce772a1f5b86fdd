/** One manifest: an image, an index of images, or an artifact. */
import { IMAGE_TABS, addressOf, digestScreen, repositoryScreen, tagScreen } from "../address.ts";
import type { ImageTab, Screen } from "../address.ts";
import { get, repositoryPath, useLoaded } from "../api.ts";
import type { IndexEntry, ManifestDetails, Tag } from "../api-types.ts";
import { PullCommand } from "../parts/commands.tsx";
import { WhenLoaded } from "../parts/load-state.tsx";
import { Age, Bytes, ShortDigest } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";
import { Artifact } from "./artifact.tsx";
import { ImageLayers, ImageOverview, Pairs } from "./image-config.tsx";
import { ManifestText } from "./manifest-text.tsx";
import { ReferrerTree } from "./referrers.tsx";

type ImageScreen = Extract<Screen, { readonly kind: "image" }>;

export function Image(shown: ImageScreen) {
  const { name, reference } = shown;
  const key = `${name} ${reference.kind === "tag" ? reference.tag : reference.digest}`;
  const loaded = useLoaded(key, async (ending) => {
    const digest =
      reference.kind === "digest"
        ? reference.digest
        : (await get<Tag>(repositoryPath(name, `tags/${reference.tag}`), ending)).digest;
    return await get<ManifestDetails>(repositoryPath(name, `manifests/${digest}`), ending);
  });
  return <WhenLoaded of={loaded.value}>{(manifest) => <Loaded shown={shown} manifest={manifest} />}</WhenLoaded>;
}

function Loaded({ shown, manifest }: { readonly shown: ImageScreen; readonly manifest: ManifestDetails }) {
  const { name, reference, tab, platform } = shown;
  const title = reference.kind === "tag" ? reference.tag : undefined;
  const chosen =
    manifest.images.find((each) => labelOf(each) === platform) ?? manifest.images.find(({ isHere }) => isHere);
  const { kind, artifactType } = manifest;
  return (
    <>
      <div class="title">
        <h1>
          <a href={addressOf(repositoryScreen(name))}>{name}</a>
          {title === undefined ? null : <span class="mono">:{title}</span>}
        </h1>
        <p class="muted">
          <ShortDigest digest={manifest.digest} /> · <Bytes bytes={manifest.bytes} /> · {TEXTS.pushed}{" "}
          <Age time={manifest.pushedAt} />
          {title !== undefined && (
            <>
              {" · "}
              <a href={addressOf({ kind: "history", name, tag: title })}>{TEXTS.history}</a>
            </>
          )}
        </p>
      </div>
      <PullCommand
        name={name}
        reference={title === undefined ? `@${manifest.digest}` : `:${title}`}
        kind={kind}
        artifactType={artifactType}
      />
      <OtherTags name={name} tags={manifest.tags.filter((tag) => tag !== title)} />
      {manifest.images.length > 0 && <PlatformChips shown={shown} images={manifest.images} chosen={chosen} />}
      <nav class="tabs" aria-label={title ?? manifest.digest}>
        {IMAGE_TABS.map((each) => (
          <a key={each} href={addressOf({ ...shown, tab: each })} aria-current={each === tab ? "page" : undefined}>
            {TEXTS.tabs[each]}
          </a>
        ))}
      </nav>
      <Tab name={name} tab={tab} manifest={manifest} image={kind === "index" ? chosen : manifest} />
    </>
  );
}

/** How a platform is written in an address and on its chip. */
function labelOf({ platform, digest }: IndexEntry): string {
  return platform ?? digest;
}

function OtherTags({ name, tags }: { readonly name: string; readonly tags: readonly string[] }) {
  if (tags.length === 0) return null;
  return (
    <p class="muted">
      {TEXTS.alsoTagged}{" "}
      {tags.map((tag) => (
        <a key={tag} class="chip mono" href={addressOf(tagScreen(name, tag))}>
          {tag}
        </a>
      ))}
    </p>
  );
}

function PlatformChips(parts: {
  readonly shown: ImageScreen;
  readonly images: readonly IndexEntry[];
  readonly chosen: IndexEntry | undefined;
}) {
  return (
    <nav class="chips" aria-label={TEXTS.platforms}>
      {parts.images.map((image) =>
        image.isHere ? (
          <a
            key={image.digest}
            class="chip"
            href={addressOf({ ...parts.shown, platform: labelOf(image) })}
            aria-current={image === parts.chosen ? "true" : undefined}
          >
            {image.platform ?? TEXTS.unknownPlatform}{" "}
            <small>
              <Bytes bytes={image.bytes} />
            </small>
          </a>
        ) : (
          <span key={image.digest} class="chip muted" title={TEXTS.sparse}>
            {image.platform ?? TEXTS.unknownPlatform} <small>{TEXTS.sparse}</small>
          </span>
        ),
      )}
    </nav>
  );
}

function Tab(parts: {
  readonly name: string;
  readonly tab: ImageTab;
  readonly manifest: ManifestDetails;
  /** What the tabs about a single image show; undefined when nothing of an index is here. */
  readonly image: { readonly digest: string } | undefined;
}) {
  const { name, tab, manifest, image } = parts;
  switch (tab) {
    case "overview":
      return (
        <>
          {manifest.subject !== null && (
            <p>
              {TEXTS.subject}{" "}
              <ShortDigest digest={manifest.subject} href={addressOf(digestScreen(name, manifest.subject))} />
            </p>
          )}
          {manifest.kind === "artifact" ? (
            <Artifact manifest={manifest} />
          ) : image ? (
            <ImageOverview name={name} digest={image.digest} />
          ) : (
            <p>{TEXTS.sparse}</p>
          )}
          <Pairs title={TEXTS.annotations} pairs={manifest.annotations} />
        </>
      );
    case "layers":
      if (manifest.kind === "artifact") return <Artifact manifest={manifest} />;
      return image ? <ImageLayers name={name} digest={image.digest} /> : <p>{TEXTS.sparse}</p>;
    case "referrers":
      return <ReferrerTree name={name} digest={manifest.digest} />;
    case "raw":
      return <ManifestText name={name} digest={manifest.digest} />;
  }
}
