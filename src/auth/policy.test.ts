import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Action, Identity, Principal } from "./identity.ts";
import { Policy, nameOf } from "./policy.ts";

function identity(kind: Identity["kind"], name: string, more: Partial<Identity> = {}): Identity {
  return { kind, name, groups: [], generation: "1", ...more };
}

const alice = identity("user", "alice");
const dev = identity("user", "bob", { groups: ["dev"] });
const admin = identity("user", "root", { groups: ["admin"] });
const robot = identity("robot", "ci");
const anonymous = undefined;

const ACTIONS: readonly Action[] = ["pull", "push", "delete", "admin"];

/** What may be done with a repository. */
function actionsOf(policy: Policy, who: Principal, repository: string): readonly Action[] {
  return ACTIONS.filter((action) => policy.allows(who, action, repository));
}

describe("without policies", () => {
  const policy = new Policy();

  test("every authenticated principal may do everything", () => {
    for (const who of [alice, dev, robot]) expect(actionsOf(policy, who, "any/thing")).toEqual(ACTIONS);
    expect(policy.allowsSomePull(alice)).toBeTrue();
  });

  test("anonymous clients may do nothing", () => {
    expect(actionsOf(policy, anonymous, "any/thing")).toEqual([]);
    expect(policy.allowsSomePull(anonymous)).toBeFalse();
    expect(policy.knowsAnonymous).toBeFalse();
  });
});

function aliceMay(action: Action, repositories: string): Policy {
  return new Policy([{ who: ["alice"], repositories: [repositories], actions: [action] }]);
}

function boundTo(repositories: string): Identity {
  return identity("robot", "ci", { bound: [{ repositories, actions: ["admin"] }] });
}

test("administrators are principals that may do everything everywhere", () => {
  expect([alice, anonymous].map((who) => new Policy().isAdministrator(who))).toEqual([true, false]);
  expect([alice, dev, admin].map((who) => new Policy([]).isAdministrator(who))).toEqual([false, false, true]);
  expect(aliceMay("admin", "**").isAdministrator(alice)).toBeTrue();
  expect(aliceMay("admin", "team/**").isAdministrator(alice)).toBeFalse();
  expect(aliceMay("delete", "**").isAdministrator(alice)).toBeFalse();
  expect(["**", "team/**"].map((each) => new Policy().isAdministrator(boundTo(each)))).toEqual([true, false]);
});

describe("an empty list of policies", () => {
  test("allows only administrators anything", () => {
    const policy = new Policy([]);
    for (const who of [anonymous, alice, dev, robot]) expect(actionsOf(policy, who, "a")).toEqual([]);
    expect(actionsOf(policy, admin, "a")).toEqual(ACTIONS);
  });
});

describe("a rule", () => {
  const cases: readonly [who: string, allows: readonly Principal[], others: readonly Principal[]][] = [
    ["alice", [alice], [anonymous, dev, robot, identity("robot", "alice"), identity("user", "alice2")]],
    ["user:alice", [alice], [anonymous, dev, identity("robot", "alice")]],
    ["group:dev", [dev], [anonymous, alice, identity("user", "dev"), identity("user", "group:dev")]],
    ["robot:ci", [robot], [anonymous, identity("user", "ci"), identity("user", "robot:ci")]],
    ["anonymous", [anonymous], [alice, dev, robot, identity("user", "anonymous")]],
    ["authenticated", [alice, dev, robot], [anonymous]],
    ["everyone", [anonymous, alice, dev, robot], []],
  ];
  for (const [name, allowed, others] of cases) {
    test(`for ${name} is for no other principal`, () => {
      const policy = new Policy([{ who: [name], repositories: ["**"], actions: ["pull"] }]);
      expect([...allowed, ...others].filter((who) => policy.allows(who, "pull", "a/b"))).toEqual([...allowed]);
      expect([...allowed, ...others].filter((who) => policy.allowsSomePull(who))).toEqual([...allowed]);
    });
  }

  test("allows its actions and no other one; admin is all of them", () => {
    for (const action of ACTIONS) {
      const policy = new Policy([{ who: ["alice"], repositories: ["a"], actions: [action] }]);
      expect(actionsOf(policy, alice, "a")).toEqual(action === "admin" ? ACTIONS : [action]);
      expect(actionsOf(policy, alice, "b")).toEqual([]);
    }
  });

  test("adds to what others allow", () => {
    const policy = new Policy([
      { who: ["everyone"], repositories: ["team/**"], actions: ["pull"] },
      { who: ["group:dev"], repositories: ["team/app"], actions: ["push"] },
    ]);
    expect(actionsOf(policy, dev, "team/app")).toEqual(["pull", "push"]);
    expect(actionsOf(policy, dev, "team/other")).toEqual(["pull"]);
    expect(policy.knowsAnonymous).toBeTrue();
  });
});

describe("a bound", () => {
  const bound = [{ repositories: "team/*", actions: ["pull", "push"] as const }];

  test("is what a machine may do: no rule is needed, and none adds to it", () => {
    for (const kind of ["robot", "job"] as const) {
      const machine = identity(kind, "ci", { bound, groups: ["admin"] });
      for (const policy of [
        new Policy(),
        new Policy([]),
        new Policy([{ who: ["everyone"], repositories: ["**"], actions: ["admin"] }]),
      ]) {
        expect(actionsOf(policy, machine, "team/app")).toEqual(["pull", "push"]);
        expect(actionsOf(policy, machine, "team/app/deep")).toEqual([]);
        expect(actionsOf(policy, machine, "other")).toEqual([]);
      }
    }
  });

  test("of a user takes from what rules allow, also from an administrator", () => {
    const policy = new Policy([{ who: ["alice"], repositories: ["team/app"], actions: ["pull", "delete"] }]);
    expect(actionsOf(policy, { ...alice, bound }, "team/app")).toEqual(["pull"]);
    expect(actionsOf(policy, { ...admin, bound }, "team/app")).toEqual(["pull", "push"]);
  });

  test("without pull lists nothing", () => {
    const pushes = [{ repositories: "**", actions: ["push"] as const }];
    expect(new Policy().allowsSomePull({ ...robot, bound: pushes })).toBeFalse();
    expect(new Policy().allowsSomePull({ ...robot, bound })).toBeTrue();
  });
});

describe("a decision", () => {
  test("names the rule by its place and its words", () => {
    const policy = new Policy([
      { who: ["carol"], repositories: ["**"], actions: ["admin"] },
      { who: ["group:dev", "alice"], repositories: ["team/**"], actions: ["pull", "push"] },
    ]);
    expect(policy.decide(dev, "push", "team/app")).toEqual({
      allowed: true,
      by: "policies.1 (group:dev, alice: pull, push on team/**)",
    });
    expect(policy.decide(dev, "delete", "team/app").by).toBe("policies: no rule allows it");
    expect(policy.decide(admin, "delete", "team/app").by).toBe("membership in the group admin");
  });

  test("names people and machines as rules do", () => {
    expect([anonymous, alice, robot, identity("job", "x")].map(nameOf)).toEqual([
      "anonymous",
      "alice",
      "robot:ci",
      "job:x",
    ]);
  });
});

describe("the repositories that may be listed", () => {
  const NAMES = ["a", "a/a", "a/b", "a/b/c", "b", "b-a/x", "team/app", "team/app/x", "team0/app", "x/y"];
  const pattern = fc.constantFrom("**", "*", "a/*", "a/**", "*/b", "team/app", "team/**", "**/x", "b-*/**", "z/**");
  const actions = fc.subarray<Action>([...ACTIONS], { minLength: 1 });
  const rule = fc.record({
    who: fc.subarray(["alice", "group:dev", "robot:ci", "anonymous", "authenticated", "everyone"], { minLength: 1 }),
    repositories: fc.array(pattern, { minLength: 1, maxLength: 3 }),
    actions,
  });
  const bound = fc.option(fc.array(fc.record({ repositories: pattern, actions }), { maxLength: 3 }), {
    nil: undefined,
  });

  test("are those that may be pulled, and none of them is skipped", () => {
    fc.assert(
      fc.property(
        fc.option(fc.array(rule, { maxLength: 4 }), { nil: undefined }),
        fc.constantFrom<Principal>(anonymous, alice, dev, admin, robot),
        bound,
        (rules, who, bounds) => {
          const policy = new Policy(rules);
          const principal = who && bounds ? { ...who, bound: bounds } : who;
          const filter = policy.listFilter(principal);
          for (const name of NAMES) {
            const allowed = policy.allows(principal, "pull", name);
            expect(filter?.allows(name) ?? true).toBe(allowed);
            if (!allowed) continue;
            // From wherever the list goes on, it comes to this one.
            for (const from of ["", ...NAMES].filter((each) => each <= name)) {
              let found = filter ? filter.seek(from) : { from };
              while (found?.until !== undefined && found.until <= name) found = filter?.seek(found.until);
              expect(found !== undefined && found.from <= name).toBeTrue();
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
