/** Who the client is and what it may do (`GET /api/v1/me`). */
import { z } from "zod";
import { nameOf } from "../../auth/policy.ts";
import { operation } from "./operation.ts";

const Session = z
  .object({
    name: z.string().meta({ description: "As rules name it: `alice`, `robot:ci`, `anonymous`." }),
    kind: z.enum(["user", "robot", "job", "anonymous"]),
    groups: z.array(z.string()),
    isAdministrator: z.boolean().meta({ description: "Whether everything is allowed, in all repositories." }),
    mayListRepositories: z.boolean(),
    mayLogIn: z.boolean().meta({ description: "Whether this registry knows users at all." }),
    registry: z.object({
      version: z.string(),
      readOnly: z.boolean(),
      deleteEnabled: z.boolean(),
    }),
  })
  .meta({ id: "Session" });
export type Session = z.infer<typeof Session>;

export const sessionOperations = [
  operation({
    id: "getSession",
    resource: "session",
    method: "GET",
    summary: "Who the client is, and what it may do everywhere",
    answer: Session,
    run: ({ context: { authorization, options } }) => {
      const { principal, isAdministrator, mayListSome } = authorization;
      const { readOnly, deleteEnabled } = options.live;
      return {
        body: {
          name: nameOf(principal),
          kind: principal?.kind ?? "anonymous",
          groups: [...(principal?.groups ?? [])],
          isAdministrator,
          mayListRepositories: mayListSome,
          mayLogIn: options.asksForLogin,
          registry: { version: options.version, readOnly, deleteEnabled },
        },
      };
    },
  }),
];
