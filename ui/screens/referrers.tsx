/** What refers to a manifest, and to that in turn. */
import { addressOf, digestScreen } from "../address.ts";
import { repositoryPath, useApi } from "../api.ts";
import type { Referrer, ReferrerTree as Answer } from "../api-types.ts";
import { WhenLoaded } from "../parts/load-state.tsx";
import { Bytes, ShortDigest } from "../parts/values.tsx";
import { TEXTS } from "../texts.ts";

export function ReferrerTree({ name, digest }: { readonly name: string; readonly digest: string }) {
  const loaded = useApi<Answer>(repositoryPath(name, `manifests/${digest}/referrers`));
  return (
    <WhenLoaded of={loaded.value}>
      {({ referrers, isComplete }) => (
        <>
          {referrers.length === 0 ? <p>{TEXTS.noReferrers}</p> : <Branch name={name} referrers={referrers} />}
          {!isComplete && <p class="muted">{TEXTS.moreReferrers}</p>}
        </>
      )}
    </WhenLoaded>
  );
}

function Branch({ name, referrers }: { readonly name: string; readonly referrers: readonly Referrer[] }) {
  return (
    <ul class="referrers">
      {referrers.map(({ digest, mediaType, artifactType, size, referrers: more }) => (
        <li key={digest}>
          <span class="mono">{artifactType ?? mediaType}</span>{" "}
          <ShortDigest digest={digest} href={addressOf(digestScreen(name, digest))} /> <Bytes bytes={size} />
          {more.length > 0 && <Branch name={name} referrers={more} />}
        </li>
      ))}
    </ul>
  );
}
