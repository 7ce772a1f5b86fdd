/** The list of keys. */
import { useEffect, useRef } from "preact/hooks";
import { areKeysShown } from "../keys.ts";
import { TEXTS } from "../texts.ts";

export function KeysHelp() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isShown = areKeysShown.value;
  useEffect(() => {
    if (isShown) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isShown]);
  return (
    <dialog ref={dialog} aria-label={TEXTS.keys} onClose={() => (areKeysShown.value = false)}>
      <h2>{TEXTS.keys}</h2>
      <dl class="facts">
        {TEXTS.keysHelp.map(([key, text]) => [<dt key={key}>{key}</dt>, <dd key={text}>{text}</dd>])}
      </dl>
      <button type="button" onClick={() => (areKeysShown.value = false)}>
        {TEXTS.close}
      </button>
    </dialog>
  );
}
