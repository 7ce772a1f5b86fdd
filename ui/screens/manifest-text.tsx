/** A manifest as it was pushed. */
import { getText, useLoaded } from "../api.ts";
import { bytesText } from "../format.ts";
import { CopyButton } from "../parts/copy-button.tsx";
import { WhenLoaded } from "../parts/load-state.tsx";
import { TEXTS } from "../texts.ts";

export function ManifestText({ name, digest }: { readonly name: string; readonly digest: string }) {
  const path = `v2/${name}/manifests/${digest}`;
  const loaded = useLoaded(path, (ending) => getText(path, ending));
  return (
    <WhenLoaded of={loaded.value}>
      {(text) => (
        <>
          <p class="muted">
            {TEXTS.rawSize}: {bytesText(new Blob([text]).size)} <CopyButton text={text} what={TEXTS.tabs.raw} />
          </p>
          <pre tabIndex={0}>{indented(text)}</pre>
        </>
      )}
    </WhenLoaded>
  );
}

function indented(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
