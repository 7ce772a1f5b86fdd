/** Which screen is shown, and how links lead to others: the address of the browser is the state of the page. */
import { signal } from "@preact/signals";
import { addressOf, screenAt } from "./address.ts";
import type { Screen } from "./address.ts";

/** The path of the registry's prefix with a slash at its end. */
const base = new URL(document.baseURI).pathname;

/** What is shown. */
export const screen = signal<Screen>(here());

/** Goes to another screen; `replace` keeps the way back as it was, as for each letter of a filter. */
export function goTo(next: Screen, { replace = false } = {}): void {
  const address = new URL(addressOf(next), document.baseURI).href;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  screen.value = next;
  if (!replace) scrollTo(0, 0);
}

/** Follows Back, and links inside the page. Called once. */
export function followAddress(): void {
  addEventListener("popstate", () => {
    screen.value = here();
  });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const url = new URL(link.href);
    if (link.target !== "" || url.origin !== location.origin || !url.pathname.startsWith(base)) return;
    const next = screenAt(`/${url.pathname.slice(base.length)}`, url.search);
    if (next.kind === "unknown") return; // another part of the registry, which the browser opens
    event.preventDefault();
    goTo(next);
  });
}

function here(): Screen {
  return screenAt(`/${location.pathname.slice(base.length)}`, location.search);
}

/** The registry as clients name it: its host and the prefix, if it has one. */
export const registryHost = `${location.host}${base.replace(/\/$/, "")}`;

/** Whether the page came over plain HTTP. */
export const isPlainHttp = location.protocol === "http:";
