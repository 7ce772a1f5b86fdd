/** Settings of who may do what. */
import { z } from "./zod.ts";
import { actions, patterns } from "./auth-settings.ts";

const who = z
  .string()
  .regex(
    /^(?:(?:user|group|robot|job):\S+|[^\s:]+)$/,
    "expected names such as alice, group:dev, robot:ci, anonymous, authenticated or everyone",
  );

const policy = z.strictObject({
  who: z.array(who).min(1, "expected at least one name, such as group:dev"),
  repositories: patterns,
  actions,
});

/** Undefined when `policies` is not set: an empty list allows nothing. */
export const policiesSetting = z.array(policy).optional();

export const protectedTagsSetting = z.array(z.strictObject({ repositories: patterns, tags: patterns })).default([]);
