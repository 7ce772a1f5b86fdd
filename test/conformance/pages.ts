/** Lists that come in pages: RFC 8288 links, as clients follow them. */
import { expect } from "bun:test";
import type { RepositoryClient } from "../support/repository-client.ts";

export interface Walk {
  /** What stood on each page. */
  readonly pages: readonly (readonly string[])[];
  /** Where each page but the last pointed to. */
  readonly links: readonly URL[];
}

/** The address of the next page; undefined when there is no `Link`. */
export function nextPage(reply: Response, path: string): URL | undefined {
  const header = reply.headers.get("link");
  if (header === null) return undefined;
  // One link, relative, so that it has the origin that the client used. Several clients split at `<`, `>` and `;`.
  const [, target] = /^<(\/v2\/[^<>;,\s]+)>; ?rel="next"$/.exec(header) ?? [];
  expect(header).toContain(target ?? 'a link of the form </v2/…>; rel="next"');
  const url = new URL(target ?? "", "http://registry.example.org");
  expect(url.pathname).toBe(path);
  return url;
}

/** Follows `Link` from `start`, a path with a query, to the end; `key` names the list in each reply. */
export async function walkPages(client: RepositoryClient, start: string, key: "tags" | "repositories"): Promise<Walk> {
  const [path = ""] = start.split("?");
  const pages: (readonly string[])[] = [];
  const links: URL[] = [];
  for (let next: string | undefined = start; next !== undefined;) {
    const reply = await client.get(next);
    expect(reply.status).toBe(200);
    const body = (await reply.json()) as Readonly<Record<string, readonly string[]>>;
    pages.push(body[key] ?? []);
    const link = nextPage(reply, path);
    if (link) links.push(link);
    next = link && `${link.pathname}${link.search}`;
    expect(pages.length).toBeLessThan(1000);
  }
  return { pages, links };
}

/** Asserts that a walk by pages of `n` gives exactly `expected`: full pages, and a `Link` only where more follows. */
export async function expectPages(
  client: RepositoryClient,
  path: string,
  key: "tags" | "repositories",
  n: number,
  expected: readonly string[],
): Promise<void> {
  const { pages, links } = await walkPages(client, `${path}?n=${n}`, key);
  const full = Array.from({ length: Math.ceil(expected.length / n) }, (_, at) => expected.slice(at * n, (at + 1) * n));
  expect(pages).toEqual(full);
  for (const [at, link] of links.entries()) {
    // "<tagname> MUST NOT be a numerical index, but rather it MUST be a proper tag": Renovate reads it out of the link.
    expect(link.searchParams.get("last")).toBe(full[at]?.at(-1) ?? "");
    expect(link.searchParams.get("n")).toBe(String(n));
  }
}
