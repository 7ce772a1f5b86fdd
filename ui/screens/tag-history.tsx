/** What a tag pointed at, and when. */
import { useSignal } from "@preact/signals";
import { addressOf, digestScreen, tagScreen } from "../address.ts";
import { attempt, problemOf, repositoryPath, send, useApi } from "../api.ts";
import type { Problem } from "../api.ts";
import type { Tag, TagHistory } from "../api-types.ts";
import { exactTime } from "../format.ts";
import { Refusal, WhenLoaded } from "../parts/load-state.tsx";
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
        {({ items }) => {
          const [newest] = items;
          const current = newest?.until === null ? newest.digest : undefined;
          return (
            <table>
              <thead>
                <tr>
                  <th>{TEXTS.digest}</th>
                  <th>{TEXTS.from}</th>
                  <th>{TEXTS.until}</th>
                  <td />
                </tr>
              </thead>
              <tbody>
                {items.map(({ digest, since, until, canRestore, restorableUntil }) => (
                  <tr key={since}>
                    <td>
                      <ShortDigest digest={digest} href={addressOf(digestScreen(name, digest))} />
                    </td>
                    <td>
                      <Age time={since} />
                    </td>
                    <td>{until === null ? TEXTS.now : <Age time={until} />}</td>
                    <td>
                      {until !== null &&
                        digest !== current &&
                        (canRestore ? (
                          <PutBack name={name} tag={tag} digest={digest} current={current} until={restorableUntil} />
                        ) : (
                          <span class="muted">{TEXTS.gone}</span>
                        ))}
                    </td>
                  </tr>
                ))}
              </tbody>
            </table>
          );
        }}
      </WhenLoaded>
    </>
  );
}

/** Points the tag at a digest of its history again, unless it was moved since the history was read. */
function PutBack(parts: {
  readonly name: string;
  readonly tag: string;
  readonly digest: string;
  /** What the tag points at; undefined when it is deleted. */
  readonly current: string | undefined;
  readonly until: string | null;
}) {
  const problem = useSignal<Problem | undefined>(undefined);
  const { name, tag, digest, current, until } = parts;
  const putBack = async (): Promise<void> => {
    const condition = current === undefined ? { "if-none-match": "*" } : { "if-match": `"${current}"` };
    try {
      await send<Tag>("PUT", repositoryPath(name, `tags/${tag}`), { digest }, condition);
      problem.value = undefined;
      attempt.value += 1;
    } catch (error) {
      problem.value = problemOf(error);
    }
  };
  return (
    <>
      <button
        type="button"
        title={until === null ? undefined : `${TEXTS.canUndoUntil} ${exactTime(until)}`}
        onClick={() => void putBack()}
      >
        {TEXTS.putBack}
      </button>
      {problem.value && <Refusal problem={problem.value} />}
    </>
  );
}
