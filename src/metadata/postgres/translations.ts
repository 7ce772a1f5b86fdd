/**
 * The statements of the nouns in PostgreSQL's words. They are written with what all engines have in common; the few forms that
 * differ are rewritten here, once for each text.
 */

/** Texts in memory; the program has some hundreds. */
const MOST_TEXTS = 2000;

export class Translations {
  readonly #known = new Map<string, string>();

  /** Returns the statement as PostgreSQL takes it. */
  of(text: string): string {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const translated = translate(text);
    if (this.#known.size >= MOST_TEXTS) this.#known.clear();
    this.#known.set(text, translated);
    return translated;
  }
}

/**
 * Whole statements, by what they are in SQLite: about usage, which is kept in another way (`usage-folding.ts`), and events, which get
 * their numbers later (`event-numbering.ts`).
 */
export const REPLACED: ReadonlyMap<string, string> = new Map([
  [
    "insert into event (at, bytes, payload) values ($1, $2, $3)",
    "insert into new_event (at, bytes, payload) values ($1, $2, $3)",
  ],
  [
    // Without what was not moved yet: that is moved into the quota's row later, when the repository counts there.
    "select name, bytes, tags from repo where name > $1 and name < $2 order by name limit $3",
    "select name, counted_bytes as bytes, counted_tags as tags from repo where name > $1 and name < $2 order by name limit $3",
  ],
  [
    "select name, bytes, tags from repo where name = $1",
    "select name, counted_bytes as bytes, counted_tags as tags from repo where name = $1",
  ],
  [
    "update repo set tags = tags - $2 where id = $1",
    "insert into usage_delta (repo, name, bytes, tags, repositories) " +
      "select id, name, 0, -($2::bigint), 0 from repo where id = $1",
  ],
  [
    "select bytes, tags, repositories, added_bytes, added_tags, added_repositories, counted_to from quota where prefix = $1",
    `select q.bytes + coalesce(c.bytes, 0) as bytes, q.tags + coalesce(c.tags, 0) as tags,
      q.repositories + coalesce(c.repositories, 0) as repositories,
      q.added_bytes + coalesce(d.bytes, 0) as added_bytes, q.added_tags + coalesce(d.tags, 0) as added_tags,
      q.added_repositories + coalesce(d.repositories, 0) as added_repositories, q.counted_to
    from quota q
    cross join lateral (
      select sum(bytes) as bytes, sum(tags) as tags, sum(repositories) as repositories from usage_delta
      where is_below(name, q.prefix)) d
    cross join lateral (
      select sum(bytes) as bytes, sum(tags) as tags, sum(repositories) as repositories from usage_delta
      where is_below(name, q.prefix) and (q.counted_to is null or name <= q.counted_to)) c
    where q.prefix = $1`,
  ],
]);

/**
 * Rows of one repository in the order of an index. In a join with `repo`, PostgreSQL does not see that there is one repository: it would
 * read all rows that it has, and sort them, for each page.
 */
const PAGE_OF_REPOSITORY =
  /\bfrom repo r join (\w+) (\w) on \2\.repo = r\.id\b((?:(?!\br\.)[^])*?)\bwhere r\.name = \$1 and((?:(?!\br\.)[^])*\border by\b(?:(?!\br\.)[^])*)$/;

/**
 * Rows of a repository whose keys are in a list. PostgreSQL takes a repository for one of average size, and may read all that it has to
 * look for the few of the list in it; with an array it looks for each in the index.
 */
const LISTED_OF_REPOSITORY = /\b(m\.digest|t\.name) in \((select (?:value|unhex\(value\)) from json_each\(\$\d\))\)/g;

/** Rewrites a statement for PostgreSQL. */
export function translate(text: string): string {
  const replaced = REPLACED.get(text.replaceAll(/\s+/g, " ").trim());
  if (replaced !== undefined) return replaced;
  // The elements of a list are texts, or lists themselves, of which `value ->> n` is one element as text.
  const elements = text.includes("value ->>") ? "jsonb_array_elements" : "jsonb_array_elements_text";
  return (
    text
      .replaceAll(LISTED_OF_REPOSITORY, "$1 = any (array($2))")
      .replaceAll(
        /\bjson_each\(\s*(\$\d+)\s*\)/g,
        (_, value: string) => `${elements}(${value}::text::jsonb) as json_each(value)`,
      )
      .replaceAll(/\bunhex\((value(?: ->> \d+)?)\)/g, "decode($1, 'hex')")
      // What a value that may be null is compared with says its type; where it is compared with nothing, it is text.
      .replaceAll(/\(\$(\d+) is null or (\w+) = \$\1\)/g, "(coalesce($$$1, $2) = $2)")
      .replaceAll(/\$(\d+) is null\b/g, "$$$1::text is null")
      .replaceAll(/\bcross join ((?:\w+ )?\w+) on\b/g, "join $1 on")
      .replace(PAGE_OF_REPOSITORY, "from $1 $2$3where $2.repo = (select id from repo where name = $$1) and$4")
      .replace(
        "coalesce(sum(tags), 0) from repo where name < '~'",
        "coalesce(sum(counted_tags), 0) + (select coalesce(sum(d.tags), 0) " +
          "from usage_delta d join repo r on r.id = d.repo where r.name < '~') " +
          "from repo where name < '~'",
      )
      // In SQLite, RETURNING knows a table by its own name only, here by its alias only.
      .replaceAll(/(delete from repo_blob as l\b[^]*)\brepo_blob\.blob\b/g, "$1l.blob")
      .replaceAll(/(delete from repo_blob as l\b[^]*)\brepo_blob\.blob\b/g, "$1l.blob")
  );
}
