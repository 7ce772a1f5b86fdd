/** Deleting tags: what would go, the question, and the way back. */
import { signal, useSignal } from "@preact/signals";
import { attempt, problemOf, useLoaded } from "../api.ts";
import type { Problem } from "../api.ts";
import type { Deletion, TagTarget } from "../api-types.ts";
import { bytesText, counted, exactTime } from "../format.ts";
import { Dialog } from "../parts/dialog.tsx";
import { Refusal, WhenLoaded } from "../parts/load-state.tsx";
import { countOf, deleteTags, previewDeletion, putBack } from "../tag-deletion.ts";
import type { ChosenTags } from "../tag-deletion.ts";
import { TEXTS } from "../texts.ts";

/** Tags that are named one by one, and up to which a click is enough. */
const FEW = 10;

interface Parts {
  readonly name: string;
  readonly chosen: ChosenTags;
  readonly onClose: () => void;
}

export function DeleteTags({ name, chosen, onClose }: Parts) {
  const withManifests = useSignal(false);
  const loaded = useLoaded(`delete ${name} ${withManifests.value}`, () =>
    previewDeletion(name, chosen, withManifests.value),
  );
  const title = TEXTS.deleteTags(counted(countOf(chosen), "tag"));
  return (
    <Dialog label={title} onClose={onClose}>
      <h2>{title}</h2>
      <label class="check">
        <input
          type="checkbox"
          checked={withManifests}
          onChange={(event) => (withManifests.value = event.currentTarget.checked)}
        />
        {TEXTS.alsoManifests}
      </label>
      <WhenLoaded of={loaded.value}>{(deletion) => <Preview deletion={deletion} />}</WhenLoaded>
      <Confirmation
        count={countOf(chosen)}
        isReady={loaded.value.state === "here"}
        onCancel={onClose}
        run={async (onProgress) => {
          const gone = await deleteTags(name, chosen, withManifests.value, onProgress);
          done.value = { name, gone, canUndo: !withManifests.value };
          attempt.value += 1;
          onClose();
        }}
      />
    </Dialog>
  );
}

function Preview({ deletion }: { readonly deletion: Deletion }) {
  const { tags, manifests, stays, referrers, freedBytes, keptBytes, freedAt, undo, isComplete, more } = deletion;
  return (
    <div class="preview">
      <p class="mono">
        {tags
          .slice(0, FEW)
          .map(({ name }) => name)
          .join(", ")}
        {tags.length > FEW && ` ${TEXTS.moreTags(tags.length - FEW)}`}
        {more && ` (${TEXTS.andMore})`}
      </p>
      {freedBytes === 0 ? (
        <p>{TEXTS.freesNothing}</p>
      ) : (
        <p>
          {TEXTS.frees} <strong>{`${isComplete ? "" : "≥ "}${bytesText(freedBytes)}`}</strong>
          {freedAt !== null && `, ${TEXTS.notBefore} ${exactTime(freedAt)}`}.
          {keptBytes > 0 && ` ${TEXTS.stillNeeded} ${bytesText(keptBytes)}.`}
        </p>
      )}
      {referrers.length > 0 && <p>{TEXTS.goesToo(referrers.length)}</p>}
      {stays.slice(0, FEW).map(({ what, why }) => (
        <p key={what}>
          {TEXTS.stays}: <span class="mono">{what}</span>, {TEXTS.why[why]}
        </p>
      ))}
      {manifests.length > 0 && <p class="warn">{TEXTS.alsoManifestsWarning}</p>}
      <p>
        {undo.isPossible
          ? undo.until === null
            ? `${TEXTS.canUndo}.`
            : `${TEXTS.canUndoUntil} ${exactTime(undo.until)}.`
          : TEXTS.cannotUndo}
      </p>
    </div>
  );
}

function Confirmation(parts: {
  readonly count: number;
  readonly isReady: boolean;
  readonly onCancel: () => void;
  readonly run: (onProgress: (deleted: number) => void) => Promise<void>;
}) {
  const typed = useSignal("");
  const progress = useSignal<number | undefined>(undefined);
  const problem = useSignal<Problem | undefined>(undefined);
  const isSure = parts.count <= FEW || typed.value.trim() === `${parts.count}`;
  const run = async (): Promise<void> => {
    progress.value = 0;
    problem.value = undefined;
    try {
      await parts.run((deleted) => (progress.value = deleted));
    } catch (error) {
      problem.value = problemOf(error);
    } finally {
      progress.value = undefined;
    }
  };
  return (
    <form
      class="confirm"
      onSubmit={(event) => {
        event.preventDefault();
        void run();
      }}
    >
      {parts.count > FEW && (
        <label>
          {TEXTS.typeNumber(parts.count)}
          <input inputMode="numeric" value={typed} onInput={(event) => (typed.value = event.currentTarget.value)} />
        </label>
      )}
      {problem.value && <Refusal problem={problem.value} />}
      <button type="button" onClick={parts.onCancel}>
        {TEXTS.cancel}
      </button>
      <button class="danger" type="submit" disabled={!isSure || !parts.isReady || progress.value !== undefined}>
        {progress.value === undefined ? TEXTS.delete : TEXTS.deleting(progress.value)}
      </button>
    </form>
  );
}

/** The last deletion, until the reader leaves the repository or puts it back. */
const done = signal<
  { readonly name: string; readonly gone: readonly TagTarget[]; readonly canUndo: boolean } | undefined
>(undefined);

/** Says what was deleted from a repository, with the way back. */
export function LastDeletion({ name }: { readonly name: string }) {
  const progress = useSignal<number | undefined>(undefined);
  const said = useSignal("");
  const last = done.value?.name === name ? done.value : undefined;
  if (!last) return said.value === "" ? null : <p role="status">{said}</p>;
  const undo = async (): Promise<void> => {
    let back = 0;
    progress.value = 0;
    try {
      for (const [at, tag] of last.gone.entries()) {
        if (await putBack(name, tag)) back += 1;
        progress.value = at + 1;
      }
      const missing = last.gone.length - back;
      said.value = [
        TEXTS.undone(counted(back, "tag")),
        ...(missing > 0 ? [TEXTS.notUndone(counted(missing, "tag"))] : []),
      ].join(" ");
      done.value = undefined;
    } catch (error) {
      said.value = problemOf(error).detail;
    } finally {
      progress.value = undefined;
      attempt.value += 1;
    }
  };
  return (
    <p role="status" class="notice">
      {TEXTS.deleted(counted(last.gone.length, "tag"))}{" "}
      {last.canUndo && last.gone.length > 0 && (
        <button type="button" disabled={progress.value !== undefined} onClick={() => void undo()}>
          {progress.value === undefined ? TEXTS.undo : TEXTS.undoing(progress.value)}
        </button>
      )}
    </p>
  );
}
