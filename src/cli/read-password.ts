/** Passwords from a person at a terminal, who does not see them, or from another program. */
import { looksLikeRobotToken } from "../auth/robots.ts";
import { CommandError } from "./command-error.ts";

const SHORTEST = 8;
const LONGEST = 1024;

/** Characters of a password of another registry, which may be a token, and of all that is read. */
const MOST_READ = 64 * 1024;

/** Returns a password of another registry, whose rules are its own, from standard input. Throws `CommandError` when it is too long. */
export async function readForeignPassword(): Promise<string> {
  const password = await readAll(process.stdin);
  if (password.length > MOST_READ) throw new CommandError(`a password may have at most ${MOST_READ} characters`);
  return password;
}

/** Throws `CommandError` when the password is too short, too long or unusable, or when there is no terminal. */
export async function readPassword(who: string, { fromStdin }: { readonly fromStdin: boolean }): Promise<string> {
  if (fromStdin) return checked(await readAll(process.stdin));
  if (!process.stdin.isTTY) {
    throw new CommandError("no terminal to read a password from: use --password-stdin");
  }
  const password = checked(await ask(`Password for ${who}: `));
  if ((await ask("Again: ")) !== password) throw new CommandError("the two passwords differ: nothing was changed");
  return password;
}

function checked(password: string): string {
  if (password.length < SHORTEST) throw new CommandError(`a password needs at least ${SHORTEST} characters`);
  if (password.length > LONGEST) throw new CommandError(`a password may have at most ${LONGEST} characters`);
  if (looksLikeRobotToken(password)) {
    throw new CommandError("a password must not begin with stw_: this is the prefix of robot tokens");
  }
  if (/\p{Cc}/u.test(password)) throw new CommandError("a password must not contain control characters");
  return password;
}

/** Reads to the end, or until it is too long, without the end of the last line. */
async function readAll(stream: NodeJS.ReadStream): Promise<string> {
  let text = "";
  for await (const piece of stream.setEncoding("utf8")) {
    text += String(piece);
    if (text.length > MOST_READ + 2) break;
  }
  return text.replace(/\r?\n$/, "");
}

const ENTER = /[\r\n]/;
const END = "\u0003\u0004"; // Ctrl-C, Ctrl-D
const ERASE = "\u007f\b";

/** What is typed until Enter; nothing of it is shown. */
async function ask(question: string): Promise<string> {
  const { stdin, stderr } = process;
  stdin.setRawMode(true); // before the prompt is shown
  try {
    stderr.write(question);
    let typed = "";
    for (;;) {
      for (const letter of await nextPiece(stdin)) {
        if (END.includes(letter)) throw new CommandError("no password was given: nothing was changed");
        if (ENTER.test(letter)) return typed;
        typed = ERASE.includes(letter) ? typed.slice(0, -1) : typed + letter;
      }
    }
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write("\n");
  }
}

/** Input may arrive in one piece: Enter ends an answer, and the rest belongs to the next question. */
function nextPiece(stdin: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve, reject) => {
    stdin.setEncoding("utf8").resume();
    const finish = (done: () => void) => () => {
      stdin.off("data", onData).off("end", onEnd);
      done();
    };
    const onData = (piece: string): void => finish(() => resolve(piece))();
    const onEnd = finish(() => reject(new CommandError("no password was given: nothing was changed")));
    stdin.once("data", onData).once("end", onEnd);
  });
}
