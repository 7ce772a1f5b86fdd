/** The command that pulls something, for the client that the reader uses. */
import { signal } from "@preact/signals";
import { pullCommands } from "../clients.ts";
import type { Pullable } from "../clients.ts";
import { isPlainHttp, registryHost } from "../navigation.ts";
import { CopyButton } from "./copy-button.tsx";

/** The client that was chosen last; it stays when another image is opened. */
const chosen = signal<string | undefined>(undefined);

export function PullCommand(what: Omit<Pullable, "host" | "isPlain">) {
  const commands = pullCommands({ ...what, host: registryHost, isPlain: isPlainHttp });
  const command = commands.find(({ client }) => client === chosen.value) ?? commands[0];
  if (!command) return null;
  return (
    <div class="command">
      <span class="clients" role="group" aria-label="Client">
        {commands.map(({ client }) => (
          <button
            key={client}
            type="button"
            aria-pressed={client === command.client}
            onClick={() => (chosen.value = client)}
          >
            {client}
          </button>
        ))}
      </span>
      <CommandLine text={command.text} />
    </div>
  );
}

export function CommandLine({ text }: { readonly text: string }) {
  return (
    <div class="line">
      <code tabIndex={0}>{text}</code>
      <CopyButton text={text} what={text} />
    </div>
  );
}
