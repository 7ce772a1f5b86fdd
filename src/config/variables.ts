/** What variables of the environment mean: settings by distribution's rule, and those of others that look alike. */
import { nearest } from "../lib/nearest.ts";
import { PROTECTING_PATHS } from "./distribution.ts";
import { SETTING_PATHS, kindOf } from "./schema.ts";

const PREFIX = "REGISTRY_";

/** Not a setting, but where the settings are. */
export const FILE_VARIABLE = "REGISTRY_CONFIGURATION_PATH";

/** `REGISTRY_HTTP_ADDR` for `http.addr`: distribution's rule. */
export function variableOf(path: string): string {
  return `${PREFIX}${path.replaceAll(".", "_").toUpperCase()}`;
}

export type Meaning =
  | { readonly kind: "setting"; readonly path: string }
  /** One entry of a list, as in `REGISTRY_HTTP_TLS_CLIENTCAS_0`. */
  | { readonly kind: "entry"; readonly path: string; readonly index: number }
  /** One key of a table, as in `REGISTRY_HTTP_HEADERS_X-Frame-Options`. */
  | { readonly kind: "item"; readonly path: string; readonly key: string }
  /** A section of settings. */
  | { readonly kind: "section"; readonly path: string }
  /** A setting of distribution that this program does not have. */
  | { readonly kind: "distribution"; readonly path: string }
  /** It belongs to another program. */
  | { readonly kind: "foreign"; readonly owner: "Kubernetes" | "podman, buildah and skopeo" }
  | { readonly kind: "unknown"; readonly meant: string | undefined };

const SETTINGS: ReadonlyMap<string, string> = byVariable(SETTING_PATHS);
const TABLES = [...SETTINGS].filter(([, path]) => kindOf(path) === "table");
const SECTIONS: ReadonlyMap<string, string> = byVariable(
  [...SETTING_PATHS, ...PROTECTING_PATHS].flatMap(sectionsAbove),
);
const PROTECTING: ReadonlyMap<string, string> = byVariable(PROTECTING_PATHS);

/** What a variable that begins with `REGISTRY_` means. Only exact names count; case does not. */
export function meaningOf(name: string, value: string): Meaning {
  const upper = name.toUpperCase();
  const path = SETTINGS.get(upper);
  if (path !== undefined) return { kind: "setting", path };
  const protecting = PROTECTING.get(upper);
  if (protecting !== undefined) return { kind: "distribution", path: protecting };
  const section = SECTIONS.get(upper);
  if (section !== undefined) return { kind: "section", path: section };
  const [, list = "", index = ""] = /^(.+)_(\d{1,4})$/.exec(upper) ?? [];
  const listPath = SETTINGS.get(list);
  if (listPath !== undefined && kindOf(listPath) === "list")
    return { kind: "entry", path: listPath, index: Number(index) };
  for (const [table, tablePath] of TABLES) {
    // Many programs set no variable with dashes in its name: underscores stand for them, too.
    const key = upper.startsWith(`${table}_`) ? name.slice(table.length + 1).replaceAll("_", "-") : "";
    if (key !== "") return { kind: "item", path: tablePath, key };
  }
  if (isOfKubernetes(upper, value)) return { kind: "foreign", owner: "Kubernetes" };
  if (upper === "REGISTRY_AUTH_FILE") return { kind: "foreign", owner: "podman, buildah and skopeo" };
  return { kind: "unknown", meant: nearestVariable(upper) };
}

/**
 * Kubernetes tells the containers of a pod about every service beside it in the form that Docker's links had, so a
 * service called `registry` or `registry-proxy` makes variables that begin like settings.
 */
function isOfKubernetes(name: string, value: string): boolean {
  return (
    /_SERVICE_HOST$|_SERVICE_PORT(?:_\w+)?$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO))?$/.test(name) ||
    (name.endsWith("_PORT") && /^(?:tcp|udp|sctp):\/\//.test(value))
  );
}

/** Compared without what all of them have in common: otherwise everything would be near. */
function nearestVariable(name: string): string | undefined {
  const rest = (each: string): string => each.slice(PREFIX.length);
  const meant = nearest(rest(name), [...SETTINGS.keys(), FILE_VARIABLE].map(rest));
  return meant === undefined ? undefined : PREFIX + meant;
}

/** `a` and `a.b` for `a.b.c`. */
export function sectionsAbove(path: string): readonly string[] {
  const keys = path.split(".");
  return keys.slice(1).map((_, count) => keys.slice(0, count + 1).join("."));
}

function byVariable(paths: readonly string[]): ReadonlyMap<string, string> {
  return new Map(paths.map((path) => [variableOf(path), path]));
}
