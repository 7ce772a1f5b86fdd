/** A list of the API that is loaded page by page as it is scrolled. */
import { effect, signal } from "@preact/signals";
import type { Signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { Page } from "./api-types.ts";
import { attempt, credentials, get, problemOf } from "./api.ts";
import type { Problem } from "./api.ts";

/** Items of a page: a screen shows some 30 of them. */
const PAGE = 200;

export class PagedList<Item> {
  readonly items: Signal<readonly Item[]> = signal([]);
  /** How many there are in all; undefined where the API does not say. */
  readonly total: Signal<number | undefined> = signal(undefined);
  readonly state: Signal<"loading" | "more" | "whole" | "failed"> = signal("loading");
  readonly problem: Signal<Problem | undefined> = signal(undefined);
  readonly #path: string;
  #next: string | null = null;
  #ending = new AbortController();

  /** `path` is of the list, with its parameters. */
  constructor(path: string) {
    this.#path = path;
  }

  /** Loads the list from its beginning; returns what ends it. */
  begin(): () => void {
    const ending = new AbortController();
    this.#ending = ending;
    this.#next = null;
    this.state.value = "loading";
    void this.#load(ending.signal);
    return () => ending.abort();
  }

  /** Loads the next page, unless one is being loaded or there is none. */
  loadMore(): void {
    if (this.state.value !== "more") return;
    this.state.value = "loading";
    void this.#load(this.#ending.signal);
  }

  async #load(ending: AbortSignal): Promise<void> {
    const cursor = this.#next;
    const parameters = new URLSearchParams({ limit: `${PAGE}`, ...(cursor !== null && { cursor }) });
    const path = `${this.#path}${this.#path.includes("?") ? "&" : "?"}${parameters}`;
    try {
      const { items, next, total } = await get<Page<Item>>(path, ending);
      if (ending.aborted) return;
      this.items.value = cursor === null ? items : [...this.items.value, ...items];
      this.total.value = total;
      this.#next = next;
      this.state.value = next === null ? "whole" : "more";
    } catch (error) {
      if (ending.aborted) return;
      this.problem.value = problemOf(error);
      this.state.value = "failed";
    }
  }
}

/** The list at a path, for as long as a component shows it. */
export function usePagedList<Item>(path: string): PagedList<Item> {
  const list = useMemo(() => new PagedList<Item>(path), [path]);
  useEffect(
    () =>
      effect(() => {
        void attempt.value;
        void credentials.value;
        return list.begin();
      }),
    [list],
  );
  return list;
}
