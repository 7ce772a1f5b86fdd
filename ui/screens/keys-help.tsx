/** The list of keys. */
import { areKeysShown } from "../keys.ts";
import { Dialog } from "../parts/dialog.tsx";
import { TEXTS } from "../texts.ts";

function close(): void {
  areKeysShown.value = false;
}

export function KeysHelp() {
  if (!areKeysShown.value) return null;
  return (
    <Dialog label={TEXTS.keys} onClose={close}>
      <h2>{TEXTS.keys}</h2>
      <dl class="facts">
        {TEXTS.keysHelp.map(([key, text]) => [<dt key={key}>{key}</dt>, <dd key={text}>{text}</dd>])}
      </dl>
      <button type="button" onClick={close}>
        {TEXTS.close}
      </button>
    </Dialog>
  );
}
