/** The Helm chart: linted, rendered in each combination of its switches, and carried by Stowage itself. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import manifest from "../../package.json";
import { loadSettings } from "../../src/config/sources.ts";
import { cached, make } from "../clients/support/cache.ts";
import { Client } from "../clients/support/client.ts";
import { run } from "../clients/support/programs.ts";
import { WatchedRegistry } from "../clients/support/watched-registry.ts";
import { ROOT } from "../support/registry.ts";

const CHART = join(ROOT, "deploy/chart");

const VALIDATOR = join(import.meta.dir, "kubernetes-validate");

/** The path of a Python that has the schemas; they are installed when they are not there yet. */
async function kubernetesValidate(): Promise<`/${string}`> {
  const pins = await readFile(join(VALIDATOR, "requirements.txt"), "utf8");
  const folder = await cached(
    `kubernetes-validate-${/^kubernetes-validate==(.*)$/m.exec(pins)?.[1]}`,
    async (target) => {
      await make("python3", ["-m", "venv", target], VALIDATOR);
      await make(join(target, "bin/pip"), ["install", "--no-deps", "--requirement", "requirements.txt"], VALIDATOR);
    },
  );
  return join(folder, "bin/python") as `/${string}`;
}

const resources = new AsyncDisposableStack();
let registry: WatchedRegistry;
let helm: Client;

beforeAll(async () => {
  registry = resources.use(await WatchedRegistry.start());
  helm = resources.use(await Client.of("helm", registry));
});

afterAll(() => resources.disposeAsync());

interface KubernetesObject {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly template?: {
      readonly spec: { readonly containers: readonly [ContainerSpec]; readonly volumes: readonly Named[] };
    };
  };
}

interface Named {
  readonly name: string;
}

interface ContainerSpec {
  readonly env: readonly (Named & { readonly value: string })[];
  readonly volumeMounts: readonly Named[];
}

async function rendered(...values: readonly string[]): Promise<readonly KubernetesObject[]> {
  const text = await helm.says("template", "registry", CHART, ...values.flatMap((value) => ["--set", value]));
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}

/** Each of them is off by default. */
const SWITCHES: Readonly<Record<string, readonly string[]>> = {
  ingress: ["ingress.enabled=true", "ingress.tls[0].secretName=tls"],
  persistence: ["persistence.enabled=true", "persistence.storageClass=fast"],
  password: ["secrets.htpasswd=alice:x"],
  tls: ["tlsSecretName=registry-tls"],
  metrics: ["metrics.enabled=true", "metrics.serviceMonitor.enabled=true", "metrics.prometheusRule.enabled=true"],
  "garbage collection": ["garbageCollect.enabled=true"],
  others: ["serviceAccount.create=true", "podDisruptionBudget.maxUnavailable=1", "service.nodePort=30500"],
};

describe("the chart", () => {
  test("has no complaints of helm lint", async () => {
    expect(await helm.says("lint", "--strict", CHART)).toContain("1 chart(s) linted, 0 chart(s) failed");
  });

  const off = ["ConfigMap", "Deployment", "Service"];
  for (const [name, values, more] of [
    ["nothing", [], []],
    ["ingress", SWITCHES["ingress"], ["Ingress"]],
    ["persistence", SWITCHES["persistence"], ["PersistentVolumeClaim"]],
    ["password", SWITCHES["password"], ["Secret"]],
    ["metrics", SWITCHES["metrics"], ["PrometheusRule", "ServiceMonitor"]],
    ["others", SWITCHES["others"], ["PodDisruptionBudget", "ServiceAccount"]],
  ] as const) {
    test(`with ${name} switched on has the objects for it`, async () => {
      const kinds = (await rendered(...(values ?? []))).map(({ kind }) => kind).toSorted();
      expect(kinds).toEqual([...off, ...more].toSorted());
    });
  }

  test("mounts the volumes that it has, and sets variables that are settings, in each pair of switches", async () => {
    const sets = Object.values(SWITCHES);
    for (const [index, first] of sets.entries()) {
      const objects = await rendered(...first, ...(sets[index + 1] ?? []));
      const pod = objects.find(({ kind }) => kind === "Deployment")?.spec?.template?.spec;
      const [container] = pod?.containers ?? [];
      const mounted = container?.volumeMounts.map(({ name }) => name).toSorted();
      expect(mounted).toEqual(pod?.volumes.map(({ name }) => name).toSorted());
      const environment = Object.fromEntries((container?.env ?? []).map(({ name, value }) => [name, value]));
      const text = objects.find(({ kind }) => kind === "ConfigMap")?.data?.["config.yml"] ?? "";
      const { settings, warnings } = loadSettings({ file: { path: "config.yml", text }, environment, flags: {} });
      expect(warnings).toEqual([]);
      expect(settings.storage.filesystem.rootdirectory).toBe("/var/lib/registry");
    }
  });

  test("renders objects that the schemas of Kubernetes allow, with every switch off and on", async () => {
    const python = await kubernetesValidate();
    for (const [values, objects] of [
      [[], 3],
      [Object.values(SWITCHES).flat(), 8],
    ] as const) {
      const words = values.flatMap((value) => ["--set", value]);
      await writeFile(helm.file("rendered.yaml"), await helm.says("template", "registry", CHART, ...words));
      const { stdout } = await run(python, [
        join(VALIDATOR, "validate.py"),
        helm.file("rendered.yaml"),
        "1.25",
        "1.37",
      ]);
      expect(stdout).toBe(`${objects} objects\n`);
    }
  });

  test("refuses what the server cannot do", async () => {
    for (const value of ["storage=s3", "replicaCount=2", "proxy.enabled=true", "autoscaling.enabled=true"]) {
      expect((await helm.fails("template", "registry", CHART, "--set", value)).stderr).toContain(
        value.replace(/[.=].*/, ""),
      );
    }
  });

  test("is pushed into Stowage, and rendered from there", async () => {
    await helm.run("package", CHART, "--destination", "out");
    await helm.run("push", helm.file(`out/stowage-${manifest.version}.tgz`), `oci://${registry.name}/charts`);
    const values = helm.file("values.yaml");
    await writeFile(values, "persistence: {enabled: true, existingClaim: images}\n");
    const chart = `oci://${registry.name}/charts/stowage`;
    const text = await helm.says("template", "mine", chart, "--version", manifest.version, "--values", values);
    expect(text).toContain("claimName: images");
  });
});
