/** Users, tokens of robots, policies and quotas in the API. */
import { z } from "zod";
import { accountNameProblem } from "../../auth/account-name.ts";
import { isRepositoryPattern } from "../../auth/robots.ts";
import { OciError } from "../../oci/error.ts";
import { repositoryName } from "../../oci/repository-name.ts";
import type { Context } from "../context.ts";
import { Action, Bytes, Count, Time, operation, optionalTime, timeText } from "./operation.ts";

const User = z
  .object({ name: z.string(), groups: z.array(z.string()), createdAt: Time, changedAt: Time })
  .meta({ id: "User" });

const Token = z
  .object({
    id: z.string(),
    robot: z.string(),
    grants: z.array(z.object({ repositories: z.string(), actions: z.array(Action) })),
    createdAt: Time,
    expiresAt: Time.nullable().meta({ description: "Null for never." }),
  })
  .meta({ id: "Token" });

const NewToken = z
  .object({ id: z.string(), token: z.string().meta({ description: "The secret. It is not shown again." }) })
  .meta({ id: "NewToken" });

const Decision = z
  .object({
    allowed: z.boolean(),
    by: z.string().meta({ description: "The rule that decides." }),
  })
  .meta({ id: "Decision" });

const Quota = z
  .object({
    prefix: z.string().meta({ description: "A repository and all below it; `*` is the whole registry." }),
    limits: z.object({ bytes: Bytes.nullable(), tags: Count.nullable(), repositories: Count.nullable() }),
    used: z
      .object({ bytes: Bytes, tags: Count, repositories: Count, isCounted: z.boolean() })
      .nullable()
      .meta({ description: "At least so much until all is counted; null before that began." }),
  })
  .meta({ id: "Quota" });

/** A name of an account; its problem is that of commands. */
const AccountName = z.string().superRefine((text, check) => {
  const problem = accountNameProblem(text);
  if (problem !== undefined) check.addIssue({ code: "custom", message: problem });
});

/** Without a login every client is an administrator: none of them changes accounts, which are for the time when there is one. */
function refuseWithoutLogin({ options }: Context): void {
  if (options.asksForLogin) return;
  const message =
    "this registry requires no login: users and tokens can be changed by commands alone (stowage user, stowage token)";
  throw new OciError("UNSUPPORTED", { status: 409, message });
}

function unknown(what: string): OciError {
  return new OciError("UNSUPPORTED", { status: 404, message: `there is no ${what}` });
}

export const administrationOperations = [
  operation({
    id: "listUsers",
    resource: "users",
    method: "GET",
    summary: "Users in the database",
    answer: z.object({ items: z.array(User) }),
    run: async ({ services }) => {
      const users = await services.users.list();
      const items = users.map(({ name, groups, createdAt, changedAt }) => ({
        name,
        groups: [...groups],
        createdAt: timeText(createdAt),
        changedAt: timeText(changedAt),
      }));
      return { body: { items } };
    },
  }),
  operation({
    id: "changeUser",
    resource: "user",
    method: "PATCH",
    summary: "Set the groups of a user, whose sessions end",
    body: z.strictObject({ groups: z.array(AccountName).max(100) }).meta({ id: "UserRequest" }),
    answer: z.object({ name: z.string(), groups: z.array(z.string()) }),
    refusals: [404, 409],
    run: async ({ context, services, parts, body }) => {
      refuseWithoutLogin(context);
      const name = parts["user"] ?? "";
      const groups = [...new Set(body.groups)].toSorted();
      if (!(await services.users.change(name, { groups }))) throw unknown("user of this name in the database");
      return { body: { name, groups }, operation: ["user groups", name, ...groups].join(" ") };
    },
  }),
  operation({
    id: "removeUser",
    resource: "user",
    method: "DELETE",
    summary: "Remove a user, whose sessions end",
    answer: z.object({ name: z.string() }),
    refusals: [404, 409],
    run: async ({ context, services, parts }) => {
      refuseWithoutLogin(context);
      const name = parts["user"] ?? "";
      if (!(await services.users.remove(name))) throw unknown("user of this name in the database");
      return { body: { name }, operation: `user remove ${name}` };
    },
  }),
  operation({
    id: "listTokens",
    resource: "tokens",
    method: "GET",
    summary: "Tokens of robots, expired ones too",
    answer: z.object({ items: z.array(Token) }),
    run: async ({ services }) => {
      const tokens = await services.robots.list();
      const items = tokens.map(({ id, robot, grants, createdAt, expiresAt }) => ({
        id,
        robot,
        grants: grants.map(({ repositories, actions }) => ({ repositories, actions: [...actions] })),
        createdAt: timeText(createdAt),
        expiresAt: optionalTime(expiresAt),
      }));
      return { body: { items } };
    },
  }),
  operation({
    id: "createToken",
    resource: "tokens",
    method: "POST",
    summary: "Make a token for a robot; its secret is in the answer, and nowhere else",
    body: z
      .strictObject({
        robot: AccountName,
        repositories: z
          .array(
            z.string().max(255).refine(isRepositoryPattern, "it must be a repository or a pattern such as team/**"),
          )
          .min(1)
          .max(100),
        actions: z.array(Action).min(1).max(4),
        expiresAt: z.iso.datetime().nullable().default(null).meta({ description: "Null for never." }),
      })
      .meta({ id: "TokenRequest" }),
    answer: NewToken,
    refusals: [409],
    run: async ({ context, services, body }) => {
      refuseWithoutLogin(context);
      const { robot, repositories, actions, expiresAt } = body;
      const until = expiresAt === null ? undefined : Date.parse(expiresAt);
      if (until !== undefined && !(until > context.options.clock.now())) {
        throw new OciError("REQUEST_INVALID", { message: "the member expiresAt: it must be in the future" });
      }
      const given = [...new Set(actions)];
      const grants = repositories.map((pattern) => ({ repositories: pattern, actions: given }));
      const made = await services.robots.create(robot, grants, until);
      return { body: made, operation: `token create --for ${robot}` };
    },
  }),
  operation({
    id: "revokeToken",
    resource: "token",
    method: "DELETE",
    summary: "Revoke a token, at once and everywhere",
    answer: z.object({ id: z.string() }),
    refusals: [404, 409],
    run: async ({ context, services, parts }) => {
      refuseWithoutLogin(context);
      const id = parts["id"] ?? "";
      if (!/^[\w-]{1,64}$/.test(id) || !(await services.robots.revoke(id))) throw unknown("token of this id");
      return { body: { id }, operation: `token revoke ${id}` };
    },
  }),
  operation({
    id: "explainPolicy",
    resource: "explain",
    method: "GET",
    summary: "Whether a principal may do something, and which rule decides",
    query: z.strictObject({
      who: z.string().min(1).max(255).meta({ description: "Such as `alice`, `robot:ci`, `anonymous`." }),
      action: Action,
      repository: z.string().min(1).max(255),
    }),
    answer: Decision,
    refusals: [404],
    run: async ({ services, query: { who, action, repository } }) => {
      const decision = await services.explain(who, action, repositoryName(repository));
      if (!decision) throw unknown("principal of this name");
      return { body: { allowed: decision.allowed, by: decision.by } };
    },
  }),
  operation({
    id: "listQuotas",
    resource: "quotas",
    method: "GET",
    summary: "Quotas of the settings, with what is used",
    answer: z.object({ items: z.array(Quota) }),
    run: async ({ services }) => {
      const items = services.quotas.map(async ({ prefix, bytes = null, tags = null, repositories = null }) => {
        const used = await services.maintenance.quotaUsage(prefix);
        return { prefix, limits: { bytes, tags, repositories }, used: used ? { ...used } : null };
      });
      return { body: { items: await Promise.all(items) } };
    },
  }),
];
