/** The rows of a long list: those near the window alone are in the document, and pages are loaded as they come near. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { PagedList } from "../paged-list.ts";
import { TEXTS } from "../texts.ts";
import { Refusal } from "./load-state.tsx";

/** Pixels; styles say the same. */
const ROW_HEIGHT = 36;

/** Rows above and below the window that are in the document too. */
const BEYOND = 20;

/** Rows of the end that, when they come near, let the next page be loaded. */
const NEAR_THE_END = 60;

interface Parts<Item> {
  readonly list: PagedList<Item>;
  /** The texts of the head, a column each. */
  readonly head: readonly string[];
  /** Names the layout of the columns in the styles. */
  readonly layout: string;
  readonly label: string;
  /** The cells of a row, as many as the head has. */
  readonly row: (item: Item) => readonly ComponentChildren[];
  readonly keyOf: (item: Item) => string;
  /** What stands there when there is none. */
  readonly none: ComponentChildren;
}

export function Rows<Item>({ list, head, layout, label, row, keyOf, none }: Parts<Item>) {
  const body = useRef<HTMLDivElement>(null);
  const range = useSignal({ first: 0, end: 60 });
  const items = list.items.value;
  useEffect(() => {
    const look = (): void => {
      const top = body.current?.getBoundingClientRect().top ?? 0;
      const first = Math.max(Math.floor(-top / ROW_HEIGHT) - BEYOND, 0);
      const end = Math.ceil((innerHeight - top) / ROW_HEIGHT) + BEYOND;
      if (first !== range.value.first || end !== range.value.end) range.value = { first, end };
      if (end + NEAR_THE_END > list.items.value.length) list.loadMore();
    };
    look();
    addEventListener("scroll", look, { passive: true });
    addEventListener("resize", look);
    return () => {
      removeEventListener("scroll", look);
      removeEventListener("resize", look);
    };
  }, [list, items]);
  const state = list.state.value;
  const problem = list.problem.value;
  if (state === "failed" && problem) return <Refusal problem={problem} />;
  if (state === "whole" && items.length === 0) return <div class="none">{none}</div>;
  const { first, end } = range.value;
  const shown = items.slice(first, end);
  return (
    <div
      class={`rows ${layout}`}
      role="table"
      aria-label={label}
      aria-rowcount={items.length + 1}
      aria-busy={state === "loading"}
    >
      <div class="row head" role="row" aria-rowindex={1}>
        {head.map((text) => (
          <span key={text} role="columnheader">
            {text}
          </span>
        ))}
      </div>
      <div class="body" role="rowgroup" ref={body} style={{ height: `${items.length * ROW_HEIGHT}px` }}>
        {shown.map((item, at) => (
          <div
            key={keyOf(item)}
            class="row"
            role="row"
            aria-rowindex={first + at + 2}
            style={{ transform: `translateY(${(first + at) * ROW_HEIGHT}px)` }}
          >
            {row(item).map((cell, column) => (
              <span key={column} role="cell">
                {cell}
              </span>
            ))}
          </div>
        ))}
      </div>
      {state === "loading" && <p class="muted loading">{TEXTS.loadingMore}</p>}
    </div>
  );
}
