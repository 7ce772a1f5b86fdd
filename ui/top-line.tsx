/** What is on top of every screen: the registry, the search, who is here. */
import { useEffect, useRef } from "preact/hooks";
import { addressOf, repositoriesScreen } from "./address.ts";
import { credentials, useApi } from "./api.ts";
import type { Session } from "./api-types.ts";
import { areKeysShown } from "./keys.ts";
import { goTo, screen } from "./navigation.ts";
import { THEMES, chooseTheme, theme } from "./theme.ts";
import { TEXTS } from "./texts.ts";

export function TopLine() {
  return (
    <header class="top">
      <a class="home" href="./">
        {TEXTS.title}
      </a>
      <Search />
      <nav>
        <a href={addressOf(repositoriesScreen())}>{TEXTS.repositories}</a>
        <button type="button" onClick={() => (areKeysShown.value = true)} aria-label={TEXTS.keys}>
          ?
        </button>
        <ThemeSwitch />
        <WhoIsHere />
      </nav>
    </header>
  );
}

/** Milliseconds after the last letter until the registry is asked. */
const PAUSE_MS = 150;

/** Shows the repositories whose names contain `letters`. */
function search(letters: string): void {
  const now = screen.value;
  const isThere = now.kind === "repositories";
  goTo(repositoriesScreen(letters.trim(), isThere ? now.sort : undefined), { replace: isThere });
}

function Search() {
  const shown = screen.value;
  const field = useRef<HTMLInputElement>(null);
  const letters = shown.kind === "repositories" ? shown.q : "";
  useEffect(() => {
    if (field.current && field.current !== document.activeElement) field.current.value = letters;
  }, [letters]);
  const waiting = useRef<ReturnType<typeof setTimeout>>(undefined);
  return (
    <form
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        search(field.current?.value ?? "");
      }}
    >
      <input
        ref={field}
        type="search"
        data-search
        aria-label={TEXTS.search}
        placeholder={TEXTS.searchKey}
        defaultValue={letters}
        onInput={(event) => {
          const { value } = event.currentTarget;
          clearTimeout(waiting.current);
          waiting.current = setTimeout(() => search(value), PAUSE_MS);
        }}
      />
    </form>
  );
}

function ThemeSwitch() {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "system";
  return (
    <button
      type="button"
      title={TEXTS.theme}
      aria-label={`${TEXTS.theme}: ${TEXTS.themes[theme.value]}`}
      onClick={() => chooseTheme(next)}
    >
      ◐
    </button>
  );
}

function WhoIsHere() {
  const loaded = useApi<Session>("/me").value;
  if (loaded.state !== "here" || !loaded.value.mayLogIn) return null;
  if (loaded.value.kind === "anonymous") return <a href={addressOf({ kind: "login" })}>{TEXTS.logIn}</a>;
  return (
    <>
      <span class="muted">{loaded.value.name}</span>
      {credentials.value !== undefined && (
        <button type="button" onClick={() => (credentials.value = undefined)}>
          {TEXTS.logOut}
        </button>
      )}
    </>
  );
}
