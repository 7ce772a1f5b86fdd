/** Starts servers that die at a chosen call. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../support/registry.ts";

/** Disposing it kills it. */
export interface PointServer extends AsyncDisposable {
  /** Such as `http://127.0.0.1:40123`, without a slash at the end; undefined when it died before it listened. */
  readonly url: string | undefined;
  /** False when it died over it. */
  collect(): Promise<boolean>;
  /** What it died before or after, such as `before store.commit`. Only when it is gone. */
  died(): Promise<string>;
}

/** `words` are those of `point-server.ts`. */
export async function startPointServer(words: readonly string[]): Promise<PointServer> {
  const child = Bun.spawn([join(ROOT, "tools/bun"), join(import.meta.dir, "point-server.ts"), ...words], {
    cwd: tmpdir(),
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
    detached: true,
  });
  let printed = "";
  const decoder = new TextDecoder();
  const output = child.stdout.getReader();
  /** False when it ended before it printed that. */
  const says = async (pattern: RegExp): Promise<boolean> => {
    while (!pattern.test(printed)) {
      const { done, value } = await output.read();
      if (done) return false;
      printed += decoder.decode(value, { stream: true });
    }
    return true;
  };
  const url = (await says(/Listening on \S+\n/)) ? /Listening on (\S+)/.exec(printed)?.[1] : undefined;
  return {
    url,
    async collect() {
      await child.stdin.write("collect\n");
      await child.stdin.flush();
      return await says(/collected\n/);
    },
    async died() {
      if (!(await says(/dies .*\n/))) throw new Error(`the server ended by itself:\n${printed}`);
      return /dies (.*)\n/.exec(printed)?.[1] ?? "";
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
