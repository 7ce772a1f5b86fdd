/** Which addresses manifests may name, as `validation.manifests.urls` says it. */
import type { Settings } from "../config/schema.ts";
import type { Matcher } from "../lib/linear-pattern.ts";
import type { RegistryLimits } from "../registry/backend.ts";
import { CommandError } from "./command-error.ts";

/** Nothing where the settings have no rule: then manifests may name any address. */
export async function urlRuleOf({ validation }: Settings): Promise<Pick<RegistryLimits, "allowsUrl">> {
  const { allow, deny } = validation.manifests.urls;
  if (validation.disabled || (allow === undefined && deny.length === 0)) return {};
  const allowed = allow && (await compiled(allow, "allow"));
  const denied = await compiled(deny, "deny");
  return {
    allowsUrl: (url) =>
      (!allowed || allowed.some((matches) => matches(url))) && !denied.some((matches) => matches(url)),
  };
}

async function compiled(patterns: readonly string[], list: "allow" | "deny"): Promise<readonly Matcher[]> {
  const { PatternError, compilePattern } = await import("../lib/linear-pattern.ts");
  return await Promise.all(
    patterns.map(async (pattern, at) => {
      try {
        return await compilePattern(pattern);
      } catch (error) {
        if (!(error instanceof PatternError)) throw error;
        throw new CommandError(
          `validation.manifests.urls.${list}.${at} is ${JSON.stringify(pattern)}, but expected a regular expression as Go ` +
            `has them: ${error.message}`,
          { cause: error },
        );
      }
    }),
  );
}
