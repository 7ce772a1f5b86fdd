/** The keys of the page. A key that a field takes, or that a browser or screen reader combines with others, is left alone. */
import { signal } from "@preact/signals";
import { repositoriesScreen } from "./address.ts";
import { goTo } from "./navigation.ts";

/** Whether the list of keys is shown. */
export const areKeysShown = signal(false);

/** Milliseconds in which the second key of two must come. */
const SECOND_KEY_MS = 1500;

let waitsUntil = 0;

/** Listens to keys. Called once. */
export function followKeys(): void {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    const isSecond = event.timeStamp < waitsUntil;
    waitsUntil = 0;
    if (isSecond && event.key === "h") return goTo({ kind: "home" });
    if (isSecond && event.key === "r") return goTo(repositoriesScreen());
    switch (event.key) {
      case "g":
        waitsUntil = event.timeStamp + SECOND_KEY_MS;
        return;
      case "/":
        event.preventDefault();
        document.querySelector<HTMLInputElement>("[data-search]")?.focus();
        return;
      case "j":
        return moveRow(1);
      case "k":
        return moveRow(-1);
      case "x":
        return selectRow();
      case "?":
        areKeysShown.value = true;
        return;
    }
  });
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, select, textarea");
}

/** Focuses the link of the next row, or of the one before. */
function moveRow(by: number): void {
  const links = [...document.querySelectorAll<HTMLElement>("[data-row]")];
  const at = links.findIndex((link) => link === document.activeElement);
  const next = links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

/** Selects the row whose link has the focus, where rows can be selected. */
function selectRow(): void {
  document.activeElement?.closest("[role=row]")?.querySelector<HTMLInputElement>("input[type=checkbox]")?.click();
}
