/** What a tag pointed at, and when. */
import { addressOf, digestScreen, tagScreen } from "../address.ts";
import { repositoryPath, useApi } from "../api.ts";
import type { TagHistory } from "../api-types.ts";
import { WhenLoaded } from "../parts/load-state.tsx";
import { Age, ShortDigest } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";

export function TagHistoryScreen({ name, tag }: { readonly name: string; readonly tag: string }) {
  const loaded = useApi<TagHistory>(repositoryPath(name, `tags/${tag}/history`));
  return (
    <>
      <div class="title">
        <h1>
          <a href={addressOf(tagScreen(name, tag))}>
            {name}
            <span class="mono">:{tag}</span>
          </a>
        </h1>
        <p class="muted">{TEXTS.historyOf(tag)}</p>
      </div>
      <WhenLoaded of={loaded.value}>
        {({ items }) => (
          <table>
            <thead>
              <tr>
                <th>{TEXTS.digest}</th>
                <th>{TEXTS.from}</th>
                <th>{TEXTS.until}</th>
              </tr>
            </thead>
            <tbody>
              {items.map(({ digest, since, until }) => (
                <tr key={since}>
                  <td>
                    <ShortDigest digest={digest} href={addressOf(digestScreen(name, digest))} />
                  </td>
                  <td>
                    <Age time={since} />
                  </td>
                  <td>{until === null ? TEXTS.now : <Age time={until} />}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </WhenLoaded>
    </>
  );
}
