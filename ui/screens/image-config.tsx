/** What the config of an image says, and its layers with the commands that made them. */
import type { ComponentChildren } from "preact";
import { repositoryPath, useApi } from "../api.ts";
import type { Image, ImageConfig, ImageLine } from "../api-types.ts";
import { WhenLoaded } from "../parts/load-state.tsx";
import { Age, Bytes, ShortDigest } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";

interface Parts {
  readonly name: string;
  readonly digest: string;
}

function useImage({ name, digest }: Parts) {
  return useApi<Image>(repositoryPath(name, `manifests/${digest}/image`));
}

export function ImageOverview(parts: Parts) {
  const loaded = useImage(parts);
  return (
    <WhenLoaded of={loaded.value}>
      {({ config }) => (config ? <Config config={config} /> : <p>{TEXTS.noConfig}</p>)}
    </WhenLoaded>
  );
}

function Config({ config }: { readonly config: ImageConfig }) {
  return (
    <>
      <dl class="facts">
        <Fact title={TEXTS.created}>{config.created !== undefined && <Age time={config.created} />}</Fact>
        <Fact title={TEXTS.entrypoint}>{commandText(config.entrypoint)}</Fact>
        <Fact title={TEXTS.command}>{commandText(config.cmd)}</Fact>
        <Fact title={TEXTS.workingFolder}>{config.workingDir}</Fact>
        <Fact title={TEXTS.runsAs}>{config.user}</Fact>
        <Fact title={TEXTS.ports}>{config.exposedPorts?.join(", ")}</Fact>
        <Fact title={TEXTS.volumes}>{config.volumes?.join(", ")}</Fact>
        <Fact title={TEXTS.environment}>
          {config.env && config.env.length > 0 && config.env.map((each) => <code key={each}>{each}</code>)}
        </Fact>
      </dl>
      <Pairs title={TEXTS.labels} pairs={config.labels ?? {}} />
    </>
  );
}

/** Nothing where the config says nothing. */
function Fact({ title, children }: { readonly title: string; readonly children: ComponentChildren }) {
  if (children === undefined || children === false || children === "") return null;
  return (
    <>
      <dt>{title}</dt>
      <dd class="mono">{children}</dd>
    </>
  );
}

/** Words of a command as a shell would take them. */
function commandText(words: readonly string[] | undefined): string | undefined {
  return words?.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word))).join(" ");
}

export function Pairs({ title, pairs }: { readonly title: string; readonly pairs: Readonly<Record<string, string>> }) {
  const entries = Object.entries(pairs);
  if (entries.length === 0) return null;
  return (
    <>
      <h2>{title}</h2>
      <dl class="facts">
        {entries.map(([key, value]) => (
          <Fact key={key} title={key}>
            <Linked text={value} />
          </Fact>
        ))}
      </dl>
    </>
  );
}

/** A text, as a link where it is the address of a page. Publishers of images write it: that page is told nothing of this one. */
function Linked({ text }: { readonly text: string }) {
  if (!/^https?:\/\/[^\s]+$/.test(text)) return <>{text}</>;
  return (
    <a href={text} target="_blank" rel="noopener noreferrer nofollow">
      {text}
    </a>
  );
}

export function ImageLayers(parts: Parts) {
  const loaded = useImage(parts);
  return (
    <WhenLoaded of={loaded.value}>
      {({ lines }) => (lines.length === 0 ? <p>{TEXTS.noLayers}</p> : <Lines lines={lines} />)}
    </WhenLoaded>
  );
}

function Lines({ lines }: { readonly lines: readonly ImageLine[] }) {
  const largest = Math.max(1, ...lines.map(({ layer }) => layer?.size ?? 0));
  return (
    <ol class="layers">
      {lines.map(({ command, comment, layer }, at) => (
        <li key={at}>
          <code tabIndex={0}>{commandOf(command) ?? comment ?? layer?.mediaType}</code>
          {layer && (
            <span class="layer">
              <span class="bar" aria-hidden="true">
                <span style={{ width: `${(100 * layer.size) / largest}%` }} />
              </span>
              <Bytes bytes={layer.size} />
              <ShortDigest digest={layer.digest} />
              <small class="muted">{TEXTS.sharedBy(layer.manifests ?? 0)}</small>
            </span>
          )}
        </li>
      ))}
    </ol>
  );
}

/** A line of the history as it stood in the Dockerfile: builders write the shell of RUN and "#(nop)" before it. */
function commandOf(line: string | null): string | undefined {
  if (line === null) return undefined;
  const plain = line.replace(/^\/bin\/sh -c #\(nop\)\s*/, "").replace(/^\/bin\/sh -c /, "RUN ");
  return plain.replace(/^RUN \/bin\/sh -c /, "RUN ").replace(/ # buildkit$/, "");
}
