/** A browser that looks at the page, and what it complains of. */
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";
import type { BrowserContextOptions, Page } from "playwright-core";

/** Where Debian and others put it. */
const PROGRAMS: readonly string[] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** A page that the reader looks at; disposing it closes it. */
export interface OpenPage extends AsyncDisposable {
  readonly page: Page;
  /** What its console and its scripts complained of, such as a violation of the content security policy. */
  readonly complaints: readonly string[];
}

export interface Browser extends AsyncDisposable {
  open(options?: BrowserContextOptions): Promise<OpenPage>;
}

/** Throws when there is no Chromium. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = PROGRAMS.find((path) => existsSync(path));
  if (executablePath === undefined) throw new Error("the tests of the page need Chromium: apt-get install chromium");
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  return {
    async open(options = {}) {
      const context = await browser.newContext(options);
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on("console", (message) => {
        if (message.type() === "error") complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("dialog", (dialog) => {
        complaints.push(`a dialog: ${dialog.message()}`);
        void dialog.dismiss();
      });
      return { page, complaints, [Symbol.asyncDispose]: () => context.close() };
    },
    [Symbol.asyncDispose]: () => browser.close(),
  };
}
