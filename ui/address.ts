/** The addresses of the page, and what each shows. They are read and written here alone, so that a link means the same everywhere. */

/** What an image's screen shows below its title. */
export const IMAGE_TABS = ["overview", "layers", "referrers", "raw"] as const;
export type ImageTab = (typeof IMAGE_TABS)[number];

/** A manifest, by a tag or by its digest. */
export type ImageReference =
  | { readonly kind: "tag"; readonly tag: string }
  | { readonly kind: "digest"; readonly digest: string };

export type Screen =
  | { readonly kind: "home" }
  | { readonly kind: "repositories"; readonly q: string; readonly sort: string }
  | { readonly kind: "repository"; readonly name: string; readonly q: string; readonly sort: string }
  | {
      readonly kind: "image";
      readonly name: string;
      readonly reference: ImageReference;
      readonly tab: ImageTab;
      /** The platform of an index that is chosen; the first one when absent. */
      readonly platform?: string | undefined;
    }
  | { readonly kind: "history"; readonly name: string; readonly tag: string }
  | { readonly kind: "login" }
  | { readonly kind: "unknown" };

/** Orders that are not written into an address. */
export const USUAL_SORT = { repositories: "name", tags: "-version" } as const;

/** Returns what an address shows: `path` begins with a slash and is below the prefix of the registry. */
export function screenAt(path: string, search = ""): Screen {
  const query = new URLSearchParams(search);
  const q = query.get("q") ?? "";
  if (path === "/" || path === "") return { kind: "home" };
  if (path === "/login") return { kind: "login" };
  if (path === "/r" || path === "/r/")
    return { kind: "repositories", q, sort: query.get("sort") ?? USUAL_SORT.repositories };
  const found = /^\/r\/(.+?)\/-\/(.*)$/.exec(path);
  if (!found) return { kind: "unknown" };
  const [, name = "", rest = ""] = found;
  if (rest === "") return { kind: "repository", name, q, sort: query.get("sort") ?? USUAL_SORT.tags };
  const [word, ...more] = rest.split("/");
  const [value = "", tab = "overview", ...tooMuch] = more;
  if (value === "" || tooMuch.length > 0) return { kind: "unknown" };
  if (word === "history" && more.length === 1) {
    const tag = decoded(value);
    return TAG.test(tag) ? { kind: "history", name, tag } : { kind: "unknown" };
  }
  const reference = referenceIn(word, decoded(value));
  const known = IMAGE_TABS.find((each) => each === tab);
  if (!reference || !known) return { kind: "unknown" };
  return { kind: "image", name, reference, tab: known, platform: query.get("platform") ?? undefined };
}

/** What a tag and a digest may be (OCI distribution specification): commands and requests are made of them. */
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;

function referenceIn(word: string | undefined, value: string): ImageReference | undefined {
  if (word === "t" && TAG.test(value)) return { kind: "tag", tag: value };
  return word === "d" && DIGEST.test(value) ? { kind: "digest", digest: value } : undefined;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Returns the address of a screen, below the prefix and without a slash before it, as links have it. */
export function addressOf(screen: Screen): string {
  switch (screen.kind) {
    case "home":
    case "unknown":
      return "./";
    case "login":
      return "login";
    case "repositories":
      return `r${queryOf({ q: screen.q, sort: screen.sort === USUAL_SORT.repositories ? "" : screen.sort })}`;
    case "repository": {
      const sort = screen.sort === USUAL_SORT.tags ? "" : screen.sort;
      return `r/${screen.name}/-/${queryOf({ q: screen.q, sort })}`;
    }
    case "image": {
      const { name, reference, tab, platform = "" } = screen;
      const of = reference.kind === "tag" ? `t/${reference.tag}` : `d/${reference.digest}`;
      return `r/${name}/-/${of}${tab === "overview" ? "" : `/${tab}`}${queryOf({ platform })}`;
    }
    case "history":
      return `r/${screen.name}/-/history/${screen.tag}`;
  }
}

function queryOf(parameters: Readonly<Record<string, string>>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== "");
  return given.length === 0 ? "" : `?${new URLSearchParams(given)}`;
}

export function repositoriesScreen(q = "", sort: string = USUAL_SORT.repositories): Screen {
  return { kind: "repositories", q, sort };
}

export function repositoryScreen(name: string, q = "", sort: string = USUAL_SORT.tags): Screen {
  return { kind: "repository", name, q, sort };
}

export function tagScreen(name: string, tag: string): Screen {
  return { kind: "image", name, reference: { kind: "tag", tag }, tab: "overview" };
}

export function digestScreen(name: string, digest: string): Screen {
  return { kind: "image", name, reference: { kind: "digest", digest }, tab: "overview" };
}
