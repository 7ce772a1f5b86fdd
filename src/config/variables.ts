/** What variables of the environment mean: settings by distribution's rule, and those of others that look alike. */
import { nearest } from "../lib/nearest.ts";
import { PROTECTING_PATHS, UNBUILT_PATHS } from "./distribution.ts";
import { SETTING_PATHS, keysNamed } from "./schema.ts";

const PREFIX = "REGISTRY_";

/** Not a setting, but where the settings are. */
export const FILE_VARIABLE = "REGISTRY_CONFIGURATION_PATH";

/** `REGISTRY_HTTP_ADDR` for `http.addr`: distribution's rule. */
export function variableOf(path: string): string {
  return `${PREFIX}${path.replaceAll(".", "_").toUpperCase()}`;
}

export type Meaning =
  /** A setting, or with `keys` one place in a list or a table: `0.prefix` in REGISTRY_QUOTAS_0_PREFIX. */
  | { readonly kind: "setting"; readonly path: string; readonly keys: readonly string[] }
  /** A section of settings. */
  | { readonly kind: "section"; readonly path: string }
  /** A setting of distribution that this program does not have. */
  | { readonly kind: "distribution"; readonly path: string }
  /** It belongs to another program. */
  | { readonly kind: "foreign"; readonly owner: "Kubernetes" | "podman, buildah and skopeo" }
  | { readonly kind: "unknown"; readonly meant: string | undefined };

const SETTINGS: ReadonlySet<string> = new Set(SETTING_PATHS);
const SECTIONS: ReadonlyMap<string, string> = byVariable([...SETTING_PATHS, ...UNBUILT_PATHS].flatMap(sectionsAbove));
const PROTECTING: ReadonlyMap<string, string> = byVariable(PROTECTING_PATHS);

/** What a variable that begins with `REGISTRY_` means. Only exact names count; case does not. */
export function meaningOf(name: string, value: string): Meaning {
  const upper = name.toUpperCase();
  const keys = keysNamed(name.slice(PREFIX.length).split("_"));
  if (keys) {
    const path = [...keys.keys()].map((at) => keys.slice(0, at + 1).join(".")).find((each) => SETTINGS.has(each));
    if (path === undefined) return { kind: "section", path: keys.join(".") };
    return { kind: "setting", path, keys: keys.slice(path.split(".").length) };
  }
  const protecting = PROTECTING.get(upper);
  if (protecting !== undefined) return { kind: "distribution", path: protecting };
  const section = SECTIONS.get(upper);
  if (section !== undefined) return { kind: "section", path: section };
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
  const meant = nearest(rest(name), [...SETTING_PATHS.map(variableOf), FILE_VARIABLE].map(rest));
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
