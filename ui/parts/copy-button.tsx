/** A button that copies a text and says so in its place. */
import { useSignal } from "@preact/signals";
import { TEXTS } from "../texts.ts";

const SAID_MS = 1500;

export function CopyButton({ text, what }: { readonly text: string; readonly what: string }) {
  const isCopied = useSignal(false);
  const copyText = async (): Promise<void> => {
    isCopied.value = await copied(text);
    setTimeout(() => (isCopied.value = false), SAID_MS);
  };
  return (
    <button type="button" class="copy" aria-label={`${TEXTS.copy} ${what}`} onClick={() => void copyText()}>
      <span aria-live="polite">{isCopied.value ? TEXTS.copied : TEXTS.copy}</span>
    </button>
  );
}

/** Browsers give their clipboard to pages of HTTPS and of this machine only; elsewhere a selection is copied. */
async function copied(text: string): Promise<boolean> {
  if (isSecureContext) {
    const isDone = await navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
    if (isDone) return true;
  }
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "off-screen";
  const focused = document.activeElement;
  document.body.append(field);
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return isDone;
}
