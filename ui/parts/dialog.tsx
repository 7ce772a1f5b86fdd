/** A dialog over the page: it keeps the focus, and gives it back when it is closed. */
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

export function Dialog(parts: {
  readonly label: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-label={parts.label} onClose={parts.onClose}>
      {parts.children}
    </dialog>
  );
}
