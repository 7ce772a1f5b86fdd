/** The URL that a text is; undefined when it is none. `URL.parse` does that, but Node 20 has it not. */
export function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}
