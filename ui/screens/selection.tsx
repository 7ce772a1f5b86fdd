/** Tags that are selected, one by one or all that a filter matches. */
import { signal, useSignal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { Tag, TagTarget } from "../api-types.ts";
import type { ChosenTags } from "../tag-deletion.ts";
import { TEXTS } from "../texts.ts";
import { DeleteTags } from "./delete-tags.tsx";

/** Tags by their names with what they pointed at when they were selected, or all that match. */
export type Selection = Signal<ReadonlyMap<string, TagTarget> | "all">;

const NONE: ReadonlyMap<string, TagTarget> = new Map();

/** An empty selection, for as long as `key` is the same. */
export function useSelection(key: string): Selection {
  return useMemo(() => signal<ReadonlyMap<string, TagTarget> | "all">(NONE), [key]);
}

export function SelectTag({ tag, selection }: { readonly tag: Tag; readonly selection: Selection }) {
  const { name, digest } = tag;
  const chosen = selection.value;
  const toggle = (): void => {
    const next = new Map(chosen === "all" ? [] : chosen);
    if (!next.delete(name)) next.set(name, { name, digest });
    selection.value = next;
  };
  return (
    <input
      type="checkbox"
      aria-label={TEXTS.select(name)}
      checked={chosen === "all" || chosen.has(name)}
      onChange={toggle}
    />
  );
}

/** How many are selected, and what can be done with them. */
export function SelectionLine(parts: {
  readonly name: string;
  readonly letters: string;
  readonly total: number;
  readonly selection: Selection;
}) {
  const isAsking = useSignal(false);
  const { name, letters, total, selection } = parts;
  const chosen = selection.value;
  const count = chosen === "all" ? total : chosen.size;
  const tags: ChosenTags =
    chosen === "all" ? { kind: "matching", letters, count: total } : { kind: "selected", tags: [...chosen.values()] };
  return (
    <div class="selection">
      <span role="status">{TEXTS.selected(count)}</span>
      {count < total && (
        <button type="button" onClick={() => (selection.value = "all")}>
          {TEXTS.selectAll(total)}
        </button>
      )}
      {count > 0 && (
        <>
          <button type="button" onClick={() => (selection.value = NONE)}>
            {TEXTS.selectNone}
          </button>
          <button type="button" class="danger" onClick={() => (isAsking.value = true)}>
            {TEXTS.deleteSelected}
          </button>
        </>
      )}
      {isAsking.value && (
        <DeleteTags
          name={name}
          chosen={tags}
          onClose={() => {
            isAsking.value = false;
            selection.value = NONE;
          }}
        />
      )}
    </div>
  );
}
