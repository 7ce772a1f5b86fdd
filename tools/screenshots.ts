/**
 * Takes the pictures of the documents from a running registry: `tools/bun tools/screenshots.ts URL`, with Chromium installed. The registry
 * must have the repository `team/app` with the tag `1.4.2`.
 */
import { join, resolve } from "node:path";
import { startBrowser } from "../test/ui/support/browser.ts";

const FOLDER = resolve(import.meta.dir, "../docs/images");

/** The pictures by their names, and the addresses that they show. */
const PICTURES: Readonly<Record<string, string>> = {
  repository: "/r/team/app/-/",
  image: "/r/team/app/-/t/1.4.2",
};

const [url] = process.argv.slice(2);
if (url === undefined) throw new Error("the URL of a registry is missing");
await using browser = await startBrowser();
await using open = await browser.open({ viewport: { width: 1000, height: 560 }, colorScheme: "light" });
for (const [name, address] of Object.entries(PICTURES)) {
  await open.page.goto(new URL(address, url).href, { waitUntil: "networkidle" });
  await open.page.screenshot({ path: join(FOLDER, `${name}.png`) });
}
