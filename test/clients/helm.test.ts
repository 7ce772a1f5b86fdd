/** Helm 4: charts in a registry. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { Client } from "./support/client.ts";
import { sumOf } from "./support/image-files.ts";
import { WatchedRegistry } from "./support/watched-registry.ts";

const CONFIG = "application/vnd.cncf.helm.config.v1+json";
const CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
const PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov";

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let helm: Client;
let charts: string;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  helm = resources.use(await Client.of("helm", registry));
  charts = `oci://${registry.name}/charts`;
  await helm.run("create", "app");
});

afterAll(() => resources.disposeAsync());

describe("helm push and helm pull", () => {
  test("a chart comes back byte for byte, under the types of charts", async () => {
    const archive = await pushed("app", "0.1.0");
    const served = await registry.getManifest("charts/app", "0.1.0");
    expect(served.json.config?.mediaType).toBe(CONFIG);
    expect(served.json.layers?.map(({ mediaType }) => mediaType)).toEqual([CHART]);
    await helm.run("pull", `${charts}/app`, "--version", "0.1.0", "--destination", helm.folder);
    expect(await sumOf(helm.file("app-0.1.0.tgz"))).toBe(await sumOf(archive));
    expect(await helm.says("show", "chart", `${charts}/app@${served.digest}`)).toContain("version: 0.1.0");
  });

  test("of all versions the newest is taken, or the newest that is asked for", async () => {
    for (const version of ["1.0.0", "1.2.0", "1.10.0", "2.0.0-rc.1"]) await pushed("app", version);
    expect(await versionShown("app")).toBe("1.10.0");
    expect(await versionShown("app", "--version", "~1.2.0-0")).toBe("1.2.0");
    expect(await versionShown("app", "--version", ">1.0.0-0")).toBe("2.0.0-rc.1");
  });

  test("a version with a build is found under its own name", async () => {
    await pushed("app", "3.0.0+build.5");
    // A tag may have no plus.
    expect((await registry.getManifest("charts/app", "3.0.0_build.5")).json.config?.mediaType).toBe(CONFIG);
    expect(await versionShown("app", "--version", "3.0.0+build.5")).toBe("3.0.0+build.5");
  });

  test("a chart's provenance goes and comes with it", async () => {
    await helm.run("create", "signed");
    const archive = await packaged("signed", "0.1.0");
    await writeFile(`${archive}.prov`, "-----BEGIN PGP SIGNED MESSAGE-----\n");
    await helm.run("push", archive, charts);
    const served = await registry.getManifest("charts/signed", "0.1.0");
    expect(served.json.layers?.map(({ mediaType }) => mediaType).toSorted()).toEqual([CHART, PROVENANCE]);
    await helm.run("pull", `${charts}/signed`, "--version", "0.1.0", "--prov", "--destination", helm.folder);
    expect(await readFile(helm.file("signed-0.1.0.tgz.prov"), "utf8")).toBe(await readFile(`${archive}.prov`, "utf8"));
  });

  test("a chart is built on another one of the registry, and rendered from it", async () => {
    await helm.run("create", "base");
    await pushed("base", "0.1.0");
    await helm.run("create", "parent");
    await appendFile(
      helm.file("parent/Chart.yaml"),
      `dependencies:\n  - name: base\n    version: ^0.1.0\n    repository: ${charts}\n`,
    );
    await helm.run("dependency", "update", "parent");
    expect(await sumOf(helm.file("parent/charts/base-0.1.0.tgz"))).toBe(await sumOf(helm.file("out/base-0.1.0.tgz")));
    await pushed("parent", "0.1.0");
    const rendered = await helm.says("template", "release", `${charts}/parent`, "--version", "0.1.0");
    expect(rendered).toContain("# Source: parent/charts/base/templates/service.yaml");
  });
});

describe("what goes wrong", () => {
  test("a chart or a version that is not there is said not to be found", async () => {
    await pushed("app", "0.1.0");
    expect((await helm.fails("pull", `${charts}/app`, "--version", "9.9.9")).stderr).toContain("not found");
    expect((await helm.fails("pull", `${charts}/nothing`)).stderr).toContain("repository name not known");
  });

  test("the registry answered nothing with a fault of its own", () => {
    expect(registry.wire.exchanges.length).toBeGreaterThan(0);
    registry.expectNoFaults();
  });
});

/** Makes an archive of a chart and gives its path. */
async function packaged(chart: string, version: string): Promise<string> {
  await helm.run("package", chart, "--version", version, "--destination", "out");
  return helm.file(`out/${chart}-${version}.tgz`);
}

async function pushed(chart: string, version: string): Promise<string> {
  const archive = await packaged(chart, version);
  await helm.run("push", archive, charts);
  return archive;
}

async function versionShown(chart: string, ...words: readonly string[]): Promise<string> {
  const shown = await helm.says("show", "chart", `${charts}/${chart}`, ...words);
  return /^version: (.*)$/m.exec(shown)?.[1] ?? "";
}
