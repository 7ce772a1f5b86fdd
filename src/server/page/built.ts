/** The page of `ui/`, which the bundler builds into this module. It is loaded with the first request to the page. */
import { gzipSync } from "node:zlib";
import { builtPage } from "../../../tools/build-page.ts" with { type: "macro" };

const built = builtPage();

/** Stands in the document for the path that its addresses are relative to. */
const BASE = "{base}";

/** Returns the document for a registry below a prefix, which is empty or begins with a slash. */
export function documentBelow(prefix: string): string {
  return built.document.replaceAll(BASE, `${prefix}/`);
}

export interface PageFile {
  readonly type: string;
  readonly plain: Uint8Array<ArrayBuffer>;
  readonly gzipped: Uint8Array<ArrayBuffer>;
}

/** The files that the document names. */
export const PAGE_FILES: ReadonlyMap<string, PageFile> = new Map(
  Object.entries(built.files).map(([name, text]) => [
    name,
    { type: typeOf(name), plain: Buffer.from(text), gzipped: Buffer.from(gzipSync(text, { level: 9 })) },
  ]),
);

function typeOf(name: string): string {
  if (name.endsWith(".js")) return "text/javascript; charset=utf-8";
  return name.endsWith(".css") ? "text/css; charset=utf-8" : "image/svg+xml";
}
