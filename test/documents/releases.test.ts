/** What a release is made of: one version everywhere, and workflows whose commands and tools are there. */
import { describe, expect, test } from "bun:test";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import lock from "../../package-lock.json";
import manifest from "../../package.json";
import { ROOT } from "../support/markdown.ts";

const WORKFLOWS = join(ROOT, ".github/workflows");

interface Workflow {
  readonly jobs: Readonly<Record<string, { readonly uses?: string; readonly steps?: readonly Step[] }>>;
}

interface Step {
  readonly uses?: string;
  readonly run?: string;
}

const steps = readdirSync(WORKFLOWS).flatMap((file) => {
  const { jobs } = parse(readFileSync(join(WORKFLOWS, file), "utf8")) as Workflow;
  return Object.values(jobs).flatMap((job) => [job, ...(job.steps ?? [])] as readonly Step[]);
});

test("the version is the same in the package, its lock, the chart and the changelog", () => {
  const chart = parse(readFileSync(join(ROOT, "deploy/chart/Chart.yaml"), "utf8")) as Record<string, unknown>;
  const { version } = manifest;
  expect([lock.version, lock.packages[""].version]).toEqual([version, version]);
  expect(chart).toMatchObject({ version, appVersion: version });
  expect(readFileSync(join(ROOT, "CHANGELOG.md"), "utf8")).toContain(`\n## [${version}] - `);
});

describe("a workflow", () => {
  test("uses actions by their commit, and workflows of the project", () => {
    const used = steps.flatMap(({ uses }) => uses ?? []);
    expect(used.length).toBeGreaterThan(5);
    expect(
      used.filter((name) => !/^(?:\.\/\.github\/workflows\/\w+\.yml|actions\/[\w-]+@[0-9a-f]{40})$/.test(name)),
    ).toEqual([]);
  });

  test("runs scripts of package.json, and tools of the clients' module", () => {
    const commands = steps.flatMap(({ run }) => run ?? []).join("\n");
    const scripts = [...commands.matchAll(/npm run ([\w:]+)/g)].map(([, name = ""]) => name);
    expect(scripts).toContain("build:image");
    expect(scripts.filter((name) => !Object.hasOwn(manifest.scripts, name))).toEqual([]);
    const tools = readFileSync(join(ROOT, "test/clients/tools/go.mod"), "utf8");
    const built = [...commands.matchAll(/\b(?:github\.com|helm\.sh|oras\.land)\/\S+/g)].map(([path]) =>
      path.replace(/;$/, ""),
    );
    expect(built.length).toBeGreaterThan(2);
    expect(built.filter((path) => !tools.includes(`\t${path}\n`))).toEqual([]);
  });
});
