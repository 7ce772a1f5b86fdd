/** The page, in a real browser, over what clients pushed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { AxeResults } from "axe-core";
import type { Page } from "playwright-core";
import { builtPage } from "../../tools/build-page.ts";
import { ROOT, startRegistry } from "../support/registry.ts";
import type { RunningRegistry } from "../support/registry.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { startBrowser } from "./support/browser.ts";
import type { Browser, OpenPage } from "./support/browser.ts";
import { Pusher, SCRIPT } from "./support/pushed.ts";

const AXE = readFileSync(join(ROOT, "node_modules/axe-core/axe.min.js"), "utf8");
const MANY = 500;
const SBOM = "application/spdx+json";
const SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json";

const resources = new AsyncDisposableStack();
let registry: RunningRegistry;
let browser: Browser;

beforeAll(async () => {
  browser = resources.use(await startBrowser());
  registry = resources.use(await startRegistry());
  const app = new Pusher(registry.url, "team/app");
  const released = await app.index("1.10.0");
  await app.index("1.9.0");
  for (const type of [SBOM, SIGNATURE]) await app.artifact(undefined, type, released);
  await new Pusher(registry.url, "charts/web").artifact("1.0.0_a", "application/vnd.cncf.helm.config.v1+json");
  const many = new Pusher(registry.url, "many");
  const image = await many.image("many");
  for (let at = 0; at < MANY; at++) await many.manifest(`1.${at}`, image);
});

afterAll(() => resources.disposeAsync());

/** The screens that a registry with content has. */
const SCREENS: Readonly<Record<string, string>> = {
  home: "/",
  repositories: "/r",
  "a search without a match": "/r?q=nothing",
  repository: "/r/team/app/-/",
  "many tags": "/r/many/-/",
  image: "/r/team/app/-/t/1.10.0",
  "other platform": "/r/team/app/-/t/1.10.0?platform=linux%2Farm64",
  layers: "/r/team/app/-/t/1.10.0/layers",
  referrers: "/r/team/app/-/t/1.10.0/referrers",
  raw: "/r/team/app/-/t/1.10.0/raw",
  history: "/r/team/app/-/history/1.10.0",
  chart: "/r/charts/web/-/t/1.0.0_a",
  login: "/login",
};

async function look(address: string, open: OpenPage): Promise<Page> {
  await open.page.goto(`${registry.url}${address}`);
  await settled(open.page);
  return open.page;
}

/** Waits until all that a screen asks for has come. */
async function settled(page: Page): Promise<void> {
  await page.locator("main > *").first().waitFor({ state: "attached" });
  await page.locator('main [aria-busy="true"]').first().waitFor({ state: "detached" });
}

describe("every screen", () => {
  test.each(Object.entries(SCREENS))(
    "%s is accessible in both themes, fits a phone, and runs nothing that was pushed",
    async (_, address) => {
      for (const colorScheme of ["light", "dark"] as const) {
        await using open = await browser.open({ colorScheme, viewport: { width: 360, height: 740 } });
        const page = await look(address, open);
        expect(await page.locator("main").innerText()).not.toBe("");
        expect(await page.evaluate<number>("document.documentElement.scrollWidth")).toBeLessThanOrEqual(360);
        expect(await violations(page)).toEqual([]);
        expect(open.complaints).toEqual([]);
      }
    },
  );
});

/** What axe finds, as its rules and the elements. */
async function violations(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE); // through the debugger: the policy of the page allows no foreign script
  const { violations: found } = await page.evaluate<AxeResults>("axe.run()");
  return found.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

describe("a reader", () => {
  test("goes from the first page to an image by keys alone, and back", async () => {
    await using open = await browser.open();
    const page = await look("/", open);
    await page.keyboard.press("/");
    await page.keyboard.type("team");
    await page.waitForURL(/\/r\?q=team$/);
    await page.getByRole("link", { name: "team/app" }).waitFor();
    await page.locator("main").focus();
    await page.keyboard.press("Tab");
    await page.locator("body").press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/r\/team\/app\/-\/$/);
    await page.getByRole("link", { name: "1.10.0", exact: true }).waitFor();
    await page.locator("body").press("j");
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/t\/1\.10\.0$/);
    await page.getByText("Entrypoint").waitFor();
    await page.locator("body").press("?");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await page.goBack();
    await page.waitForURL(/\/r\/team\/app\/-\/$/);
    await page.getByRole("link", { name: "1.9.0", exact: true }).waitFor();
  });

  test("sees the newest version first, with its platforms, signature and SBOM", async () => {
    await using open = await browser.open();
    const page = await look("/r/team/app/-/", open);
    const rows = await page.getByRole("row").allInnerTexts();
    expect(rows).toHaveLength(3);
    expect(rows[1]).toMatch(/1\.10\.0[^]*linux\/amd64 arm64[^]*signed[^]*SBOM/);
    expect(rows[2]).toMatch(/1\.9\.0/);
    expect(rows[2]).not.toMatch(/signed/);
  });

  test("filters tags, and finds the filter in the address", async () => {
    await using open = await browser.open();
    const page = await look("/r/many/-/", open);
    await page.getByRole("searchbox", { name: /Filter/ }).fill("1.49*");
    await page.getByText("11 tags").waitFor();
    expect(page.url()).toMatch(/\?q=1\.49\*$/);
    await page.reload();
    await settled(page);
    expect(await page.getByRole("row").count()).toBe(12);
  });

  test("scrolls through many tags, of which few rows are in the document", async () => {
    await using open = await browser.open();
    const page = await look("/r/many/-/", open);
    const last = page.getByRole("link", { name: "1.0", exact: true });
    for (let scrolled = 0; scrolled < 20 && !(await last.isVisible()); scrolled++) {
      await page.mouse.wheel(0, 10_000);
      await settled(page);
    }
    await last.waitFor();
    expect(await page.getByRole("row").count()).toBeLessThan(120);
  });

  test("sees what each platform is made of, as a Dockerfile", async () => {
    await using open = await browser.open();
    const page = await look("/r/team/app/-/t/1.10.0/layers", open);
    const amd64 = await page.locator("ol.layers").innerText();
    expect(amd64).toContain("ADD file:0 in /");
    expect(amd64).toContain(`ENV HOSTILE=${SCRIPT}`);
    expect(amd64).toContain("RUN make install");
    await page.getByRole("link", { name: /linux\/arm64/ }).click();
    await page.waitForURL(/platform=linux%2Farm64/);
    await settled(page);
    expect(await page.locator("ol.layers").innerText()).not.toBe(amd64);
  });

  test("copies the command of the chosen client over plain HTTP", async () => {
    await using open = await browser.open({ permissions: ["clipboard-read"] });
    const page = await look("/r/team/app/-/t/1.9.0", open);
    await page.getByRole("button", { name: "podman" }).click();
    await page.locator(".command .copy").click();
    await page.getByText("copied").waitFor();
    const copied = await page.evaluate<string>("navigator.clipboard.readText()");
    expect(copied).toBe(`podman pull --tls-verify=false ${registry.hostname}:${registry.port}/team/app:1.9.0`);
  });

  test("is told how to pull a chart by its version", async () => {
    await using open = await browser.open();
    const page = await look("/r/charts/web/-/t/1.0.0_a", open);
    const host = `${registry.hostname}:${registry.port}`;
    expect(await page.locator(".command code").innerText()).toBe(
      `helm pull oci://${host}/charts/web --version 1.0.0+a --plain-http`,
    );
  });

  test("is told of what is not there, and of a registry that does not answer", async () => {
    await using open = await browser.open();
    const page = await look("/r/nothing/-/", open);
    await page.getByRole("alert").waitFor();
    await look("/r/team/app/-/", open);
    await page.context().setOffline(true);
    await page.getByRole("link", { name: "1.9.0", exact: true }).click();
    await page.getByRole("alert").waitFor();
    await page.context().setOffline(false);
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("Entrypoint").waitFor();
  });
});

describe("who may delete", () => {
  test("sees first what goes, deletes the selected tags, and puts them back", async () => {
    const pusher = new Pusher(registry.url, "tidy/selected");
    const image = await pusher.image("selected");
    for (const tag of ["1", "2", "3"]) await pusher.manifest(tag, image);
    await using open = await browser.open();
    const page = await look("/r/tidy/selected/-/", open);
    for (const tag of ["1", "3"]) await page.getByLabel(`Select ${tag}`).check();
    await page.getByRole("button", { name: "Delete …" }).click();
    await page.getByRole("dialog").getByText("You can undo it").waitFor();
    expect(await violations(page)).toEqual([]);
    expect(await tagsOf("tidy/selected")).toEqual(["1", "2", "3"]);
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("2 tags deleted").waitFor();
    expect(await tagsOf("tidy/selected")).toEqual(["2"]);
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByText("2 tags put back").waitFor();
    expect(await tagsOf("tidy/selected")).toEqual(["1", "2", "3"]);
    expect(open.complaints).toEqual([]);
  });

  test("deletes all that a filter matches, after typing how many they are", async () => {
    const pusher = new Pusher(registry.url, "tidy/many");
    const image = await pusher.image("many");
    for (let at = 0; at < 12; at++) await pusher.manifest(`old.${at}`, image);
    await pusher.manifest("new", image);
    await using open = await browser.open();
    const page = await look("/r/tidy/many/-/?q=old.*", open);
    await page.getByRole("button", { name: "Select all 12" }).click();
    await page.getByRole("button", { name: "Delete …" }).click();
    const confirm = page.getByRole("button", { name: "Delete", exact: true });
    await page.getByRole("dialog").getByText("You can undo it").waitFor();
    expect(await confirm.isDisabled()).toBeTrue();
    await page.getByLabel("Type 12 to confirm").fill("12");
    await confirm.click();
    await page.getByText("12 tags deleted").waitFor();
    expect(await tagsOf("tidy/many")).toEqual(["new"]);
  });

  test("deletes nothing when more tags match than were confirmed", async () => {
    const pusher = new Pusher(registry.url, "tidy/changed");
    const image = await pusher.image("changed");
    for (const tag of ["old.1", "old.2"]) await pusher.manifest(tag, image);
    await using open = await browser.open();
    const page = await look("/r/tidy/changed/-/?q=old.*", open);
    await page.getByLabel("Select old.1").check();
    await page.getByRole("button", { name: "Select all 2" }).click();
    await page.getByRole("button", { name: "Delete …" }).click();
    await page.getByRole("dialog").getByText("You can undo it").waitFor();
    await pusher.manifest("old.3", image);
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByRole("alert").waitFor();
    expect(await tagsOf("tidy/changed")).toEqual(["old.1", "old.2", "old.3"]);
  });

  test("deletes their manifests too, where that is asked, and is told that it is for good", async () => {
    const pusher = new Pusher(registry.url, "tidy/manifests");
    const image = await pusher.manifest("1", await pusher.image("manifests"));
    await using open = await browser.open();
    const page = await look("/r/tidy/manifests/-/", open);
    await page.getByLabel("Select 1").check();
    await page.getByRole("button", { name: "Delete …" }).click();
    await page.getByLabel(/Also delete their manifests/).check();
    await page.getByText("It cannot be undone.").waitFor();
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await page.getByText("1 tag deleted").waitFor();
    const reply = await fetch(`${registry.url}/v2/tidy/manifests/manifests/${image.digest}`);
    expect(reply.status).toBe(404);
  });

  test("puts a tag back to what it pointed at, by its history", async () => {
    const pusher = new Pusher(registry.url, "tidy/history");
    const first = await pusher.manifest("1", await pusher.image("first"));
    await pusher.manifest("1", await pusher.image("second"));
    await using open = await browser.open();
    const page = await look("/r/tidy/history/-/history/1", open);
    await page.getByRole("button", { name: "Put back" }).click();
    await page.getByRole("row").nth(3).waitFor();
    const reply = await fetch(`${registry.url}/v2/tidy/history/manifests/1`, { method: "HEAD" });
    expect(reply.headers.get("docker-content-digest")).toBe(first.digest);
  });

  test("cannot, where deleting is switched off", async () => {
    await using server = await startRegistry({ env: { REGISTRY_STORAGE_DELETE_ENABLED: "false" } });
    const pusher = new Pusher(server.url, "app");
    await pusher.manifest("1", await pusher.image("app"));
    await using open = await browser.open();
    await open.page.goto(`${server.url}/r/app/-/`);
    await open.page.getByRole("link", { name: "1", exact: true }).waitFor();
    expect(await open.page.getByRole("checkbox").count()).toBe(0);
  });
});

async function tagsOf(name: string): Promise<readonly string[]> {
  return await new RepositoryClient(registry.url, name).tags();
}

test("an empty registry teaches the first push, and shows it when it has come", async () => {
  await using empty = await startRegistry();
  await using open = await browser.open();
  await open.page.goto(empty.url);
  await settled(open.page);
  const commands = await open.page.locator(".line code").allInnerTexts();
  expect(commands.at(-1)).toBe(`docker push ${empty.hostname}:${empty.port}/hello:1`);
  const pusher = new Pusher(empty.url, "hello");
  await pusher.manifest("1", await pusher.image("hello"));
  await open.page.getByRole("link", { name: "hello" }).waitFor();
});

test("logging in with a wrong password is refused, and with the right one shows what the user may pull", async () => {
  const folder = await mkdtemp(join(tmpdir(), "stowage-ui-"));
  const htpasswd = join(folder, "htpasswd");
  await writeFile(htpasswd, `alice:${await Bun.password.hash("sécret:1", { algorithm: "bcrypt", cost: 4 })}\n`);
  await using server = await startRegistry({
    env: { REGISTRY_AUTH: "htpasswd", REGISTRY_AUTH_HTPASSWD_REALM: "r", REGISTRY_AUTH_HTPASSWD_PATH: htpasswd },
  });
  const authorization = `Basic ${Buffer.from("alice:sécret:1").toString("base64")}`;
  const pusher = new Pusher(server.url, "private/app", { authorization });
  await pusher.manifest("1", await pusher.image("private"));
  await using open = await browser.open();
  const { page } = open;
  await page.goto(`${server.url}/r/private/app/-/`);
  const logIn = async (password: string): Promise<void> => {
    await page.getByLabel("User").fill("alice");
    await page.getByLabel("Password").fill(password);
    await page.locator("main").getByRole("button", { name: "Log in" }).click();
  };
  await logIn("wrong");
  await page.getByRole("alert").waitFor();
  await logIn("sécret:1");
  await page.getByRole("link", { name: "1", exact: true }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Password").waitFor();
});

test("it works below a prefix", async () => {
  await using server = await startRegistry({ env: { REGISTRY_HTTP_PREFIX: "/registry/" } });
  const url = `${server.url}/registry`;
  const pusher = new Pusher(url, "app");
  await pusher.manifest("1", await pusher.image("prefix"));
  await using open = await browser.open();
  await open.page.goto(`${url}/`);
  await open.page.getByRole("link", { name: "app", exact: true }).click();
  await open.page.getByRole("link", { name: "1", exact: true }).click();
  await open.page.waitForURL(/\/registry\/r\/app\/-\/t\/1$/);
  await open.page.getByText("Entrypoint").waitFor();
  expect(await open.page.locator(".command code").innerText()).toEndWith(`:${server.port}/registry/app:1`);
  await open.page.reload();
  await open.page.getByText("Entrypoint").waitFor();
  expect(open.complaints).toEqual([]);
});

test("programs get a text at the address of the registry, and browsers the page", async () => {
  const plain = await fetch(registry.url);
  expect(plain.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  const document = await fetch(registry.url, { headers: { accept: "text/html,*/*;q=0.8" } });
  expect(document.headers.get("content-security-policy")).toContain("default-src 'none'");
  expect([plain, document].map(({ headers }) => headers.get("vary"))).toEqual(["Accept", "Accept"]);
  const [, file = ""] = /src="([^"]+\.js)"/.exec(await document.text()) ?? [];
  const script = await fetch(`${registry.url}/${file}`);
  expect(script.headers.get("cache-control")).toContain("immutable");
  expect((await fetch(`${registry.url}/ui/other.js`)).status).toBe(404);
});

test("script and style have at most 60 kB, compressed", () => {
  const sizes = Object.values(builtPage().files).map((text) => gzipSync(text, { level: 9 }).length);
  expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(60_000);
});
