/** The few documents of XML that S3 answers with: flat lists of elements, without attributes that matter. */

/** The text of the first element of that name; undefined when there is none. */
export function textIn(xml: string, element: string): string | undefined {
  const found = new RegExp(`<${element}(?:\\s[^>]*)?>([^<]*)</${element}>`).exec(xml);
  return found ? unescaped(found[1] ?? "") : undefined;
}

/** What stands inside of each element of that name, which holds none of the same name. */
export function* elementsIn(xml: string, element: string): Generator<string> {
  const pattern = new RegExp(`<${element}(?:\\s[^>]*)?>(.*?)</${element}>`, "gs");
  for (const [, inner = ""] of xml.matchAll(pattern)) yield inner;
}

/** The text as it stands in an element. */
export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const NAMED: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescaped(text: string): string {
  return text.replaceAll(
    /&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi,
    (whole, hex?: string, decimal?: string, name?: string) => {
      if (name !== undefined) return NAMED[name] ?? whole;
      return String.fromCodePoint(hex === undefined ? Number(decimal) : Number.parseInt(hex, 16));
    },
  );
}
