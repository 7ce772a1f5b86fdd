/** `stowage user`: who may log in with a password, beside a running server. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { queryFolder } from "../support/data-folder.ts";
import { runProgram } from "../support/program.ts";
import type { Ended } from "../support/program.ts";
import { PROGRAM } from "../support/registry.ts";
import { startListening } from "../support/server-process.ts";
import type { Listening } from "../support/server-process.ts";
import { basic } from "../auth/support/guarded-registry.ts";

setDefaultTimeout(60_000);

const USERS = { REGISTRY_AUTH_USERS_ENABLED: "true" };

/** Two servers on one data folder. */
let servers: readonly [Listening, Listening];
beforeAll(async () => {
  const first = await startListening({ env: USERS });
  servers = [first, await startListening({ env: USERS, dataDir: first.dataDir })];
});
afterAll(async () => {
  for (const server of servers.toReversed()) await server[Symbol.asyncDispose]();
});

function user(words: readonly string[], input: string = ""): Promise<Ended> {
  return runProgram(servers[0].dataDir, ["user", ...words], USERS, input);
}

/** What each server answers to a user with that password. */
async function logins(name: string, password: string): Promise<readonly number[]> {
  const replies = await Promise.all(servers.map(({ url }) => fetch(`${url}/v2/`, { headers: basic(name, password) })));
  return replies.map(({ status }) => status);
}

describe("stowage user", () => {
  test("adds a user who can log in at once, at every server", async () => {
    expect(await logins("alice", "wonderland")).toEqual([401, 401]);
    expect(await user(["add", "alice", "--password-stdin"], "wonderland\n")).toEqual({
      exitCode: 0,
      stdout: "alice was added\n",
      stderr: `stowage: the registry in ${servers[0].dataDir}\n`,
    });
    expect(await logins("alice", "wonderland")).toEqual([200, 200]);
    expect(await logins("alice", "Wonderland")).toEqual([401, 401]);
  });

  test("gives another password, and the old one is worth nothing from then on", async () => {
    await user(["add", "bob", "--password-stdin"], "first-password");
    expect(await logins("bob", "first-password")).toEqual([200, 200]);
    expect((await user(["passwd", "bob", "--password-stdin"], "second-password\r\n")).exitCode).toBe(0);
    expect(await logins("bob", "first-password")).toEqual([401, 401]);
    expect(await logins("bob", "second-password")).toEqual([200, 200]);
  });

  test("removes a user, who is logged out with it everywhere: the password, and the tokens too", async () => {
    await user(["add", "carol", "--password-stdin"], "wonderland");
    expect(await logins("carol", "wonderland")).toEqual([200, 200]);
    const reply = await fetch(`${servers[0].url}/token?service=stowage`, { headers: basic("carol", "wonderland") });
    const { token } = (await reply.json()) as { token: string };
    const withToken = () =>
      Promise.all(
        servers.map(
          async ({ url }) => (await fetch(`${url}/v2/`, { headers: { authorization: `Bearer ${token}` } })).status,
        ),
      );
    expect(await withToken()).toEqual([200, 200]);
    expect((await user(["remove", "carol"])).stdout).toBe("carol was removed\n");
    expect(await logins("carol", "wonderland")).toEqual([401, 401]);
    expect(await withToken()).toEqual([401, 401]);
  });

  test("lists who there is, for people and for programs, and never a hash", async () => {
    await user(["add", "dave", "--group", "qa", "--group", "dev", "--admin", "--password-stdin"], "wonderland");
    expect((await user(["groups", "dave", "ops"])).stdout).toBe("dave is in ops\n");
    const { stdout } = await user(["list"]);
    expect(stdout).toMatch(/^NAME +GROUPS +ADDED +CHANGED\n/);
    expect(stdout).toMatch(/^dave +ops +\d{4}-\d\d-\d\d +\d{4}-\d\d-\d\d$/m);
    const listed = await user(["list", "--json"]);
    expect(JSON.parse(listed.stdout)).toContainEqual({
      name: "dave",
      groups: ["ops"],
      createdAt: expect.stringMatching(/Z$/),
      changedAt: expect.stringMatching(/Z$/),
    });
    for (const text of [stdout, listed.stdout]) expect(text).not.toMatch(/argon|\$2/);
  });

  test("keeps no password, but a slow hash of it", async () => {
    await user(["add", "erin", "--password-stdin"], "wonderland");
    const [row] = queryFolder(servers[0].dataDir, "select password_hash from account where name = 'erin'");
    expect(row?.["password_hash"]).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  });

  for (const [words, input, said] of [
    [[], "", "user takes one of add, passwd, groups, remove, list"],
    [["ad", "x"], "", "user takes one of"],
    [["add"], "", "stowage user add alice"],
    [["add", "a", "b"], "", "takes one name"],
    [["add", "with:colon", "--password-stdin"], "wonderland", "not a valid user name"],
    [["add", "oidc", "--password-stdin"], "wonderland", "auth.oidc"],
    [["add", "OIDC", "--password-stdin"], "wonderland", "auth.oidc"],
    [["passwd", "oidc", "--password-stdin"], "wonderland", "auth.oidc"],
    [["add", "everyone", "--password-stdin"], "wonderland", "reserved"],
    [["add", "zoe", "--group", "a b", "--password-stdin"], "wonderland", "not a valid group name"],
    [["add", "zoe", "--password-stdin"], "short", "at least 8 characters"],
    [["add", "zoe", "--password-stdin"], "two\nlines of it", "control characters"],
    [["add", "zoe", "--password-stdin"], "x".repeat(1025), "at most 1024"],
    [["add", "zoe", "--password-stdin"], "stw_wonderland", "prefix of robot tokens"],
    [["add", "zoe"], "wonderland", "--password-stdin"],
    [["passwd", "zoe", "--password-stdin"], "wonderland", "there is no user zoe"],
    [["groups", "zoe", "dev"], "", "there is no user zoe"],
    [["remove", "zoe"], "", "there is no user zoe"],
  ] as const) {
    test(`${words.join(" ")} ${JSON.stringify(input.slice(0, 20))} ends with one line that says what is wrong`, async () => {
      const { exitCode, stdout, stderr } = await user(words, input);
      expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
      expect(stderr).toMatch(/^stowage: [^\n]+\n$/);
      expect(stderr).toContain(said);
      expect((await user(["list"])).stdout).not.toContain("zoe");
    });
  }

  test("gives no user a password that would be taken for the token of a robot", async () => {
    await user(["add", "judy", "--password-stdin"], "wonderland");
    const { exitCode, stderr } = await user(["passwd", "judy", "--password-stdin"], "stw_wonderland");
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining("begin with stw_") });
    expect(await logins("judy", "wonderland")).toEqual([200, 200]);
  });

  test("adds no user twice", async () => {
    await user(["add", "frank", "--password-stdin"], "wonderland");
    const again = await user(["add", "frank", "--password-stdin"], "looking-glass");
    expect(again.exitCode).toBe(1);
    expect(again.stderr).toContain("user frank already exists");
    expect(await logins("frank", "wonderland")).toEqual([200, 200]);
  });

  test("says so when the settings do not let users count", async () => {
    const { stderr } = await runProgram(servers[0].dataDir, ["user", "groups", "alice"]);
    expect(stderr).toContain("auth.users.enabled: true");
  });
});

describe("at a terminal", () => {
  test("a password is asked for twice, and never shown", async () => {
    await using terminal = openTerminal(["user", "add", "grace"]);
    await terminal.shows("Password for grace: ");
    terminal.type("wonderlang\u007fd\r");
    await terminal.shows("Again: ");
    terminal.type("wonderland\r");
    await terminal.shows("grace was added");
    expect(await terminal.ended).toBe(0);
    expect(terminal.shown()).not.toContain("wonder");
    expect(await logins("grace", "wonderland")).toEqual([200, 200]);
  });

  test("two different passwords change nothing", async () => {
    await user(["add", "ivan", "--password-stdin"], "wonderland");
    await using terminal = openTerminal(["user", "passwd", "ivan"]);
    await terminal.shows("Password for ivan: ");
    terminal.type("one-password\r");
    await terminal.shows("Again: ");
    terminal.type("other-password\r");
    expect(await terminal.ended).toBe(1);
    expect(terminal.shown()).toContain("the two passwords differ");
    expect(await logins("ivan", "wonderland")).toEqual([200, 200]);
  });

  test("Ctrl-C ends it, and changes nothing", async () => {
    await using terminal = openTerminal(["user", "add", "heidi"]);
    await terminal.shows("Password for heidi: ");
    terminal.type("half\u0003");
    expect(await terminal.ended).toBe(1);
    expect((await user(["list"])).stdout).not.toContain("heidi");
  });
});

/** The program at a terminal of its own. */
function openTerminal(words: readonly string[]) {
  let shown = "";
  let more = Promise.withResolvers<void>();
  const child = Bun.spawn([PROGRAM, ...words], {
    env: { PATH: process.env["PATH"] ?? "", REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY: servers[0].dataDir, ...USERS },
    terminal: {
      cols: 200,
      rows: 24,
      data(_terminal, bytes) {
        shown += Buffer.from(bytes).toString();
        more.resolve();
        more = Promise.withResolvers();
      },
    },
  });
  return {
    ended: child.exited,
    shown: () => shown,
    type: (text: string) => void child.terminal?.write(text),
    async shows(text: string) {
      while (!shown.includes(text)) {
        const ended = child.exited.then(() => true);
        if ((await Promise.race([more.promise, ended])) === true && !shown.includes(text)) {
          throw new Error(`it ended before it showed ${text}:\n${shown}`);
        }
      }
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
      child.terminal?.close();
    },
  };
}
