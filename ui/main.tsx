/** The page: what the registry holds, for people. */
import { render } from "preact";
import { addressOf } from "./address.ts";
import { followKeys } from "./keys.ts";
import { followAddress, screen } from "./navigation.ts";
import { LogIn } from "./parts/log-in.tsx";
import { Home } from "./screens/home.tsx";
import { Image } from "./screens/image.tsx";
import { KeysHelp } from "./screens/keys-help.tsx";
import { Repositories } from "./screens/repositories.tsx";
import { RepositoryScreen } from "./screens/repository.tsx";
import { TagHistoryScreen } from "./screens/tag-history.tsx";
import { TEXTS } from "./texts.ts";
import { followTheme } from "./theme.ts";
import { TopLine } from "./top-line.tsx";

function Page() {
  return (
    <>
      <TopLine />
      <main>
        <Shown />
      </main>
      <KeysHelp />
    </>
  );
}

function Shown() {
  const shown = screen.value;
  switch (shown.kind) {
    case "home":
      return <Home />;
    case "repositories":
      return <Repositories {...shown} />;
    case "repository":
      return <RepositoryScreen key={shown.name} {...shown} />;
    case "image":
      return <Image {...shown} />;
    case "history":
      return <TagHistoryScreen {...shown} />;
    case "login":
      return <LogIn />;
    case "unknown":
      return (
        <p>
          {TEXTS.notThere} <a href={addressOf({ kind: "home" })}>{TEXTS.home}</a>
        </p>
      );
  }
}

const place = document.querySelector("#page");
if (!place) throw new Error("the document has no place for the page");
followTheme();
followAddress();
followKeys();
place.replaceChildren();
render(<Page />, place);
