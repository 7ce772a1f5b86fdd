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

/** Rewrites a statement for PostgreSQL. */
export function translate(text: string): string {
  return text.replaceAll(/\bjson_each\(\s*(\$\d+)\s*\)/g, "jsonb_array_elements_text($1::jsonb) as json_each(value)");
}
