/** Bytes, times and digests as all screens show them: short, with the exact value in the title. */
import { ageText, bytesText, exactBytes, exactTime, shortDigest } from "../format.ts";
import { TEXTS } from "../texts.ts";
import { CopyButton } from "./copy-button.tsx";

/** `bytes` is null where they are not known. */
export function Bytes({ bytes }: { readonly bytes: number | null }) {
  if (bytes === null)
    return (
      <span class="muted" title={TEXTS.unknownSize}>
        ?
      </span>
    );
  return <span title={exactBytes(bytes)}>{bytesText(bytes)}</span>;
}

export function Age({ time }: { readonly time: string | null }) {
  if (time === null) return null;
  return (
    <time dateTime={time} title={exactTime(time)}>
      {ageText(time, new Date().getTime())}
    </time>
  );
}

export function ShortDigest({ digest, href }: { readonly digest: string; readonly href?: string }) {
  const short = <code title={digest}>{shortDigest(digest)}</code>;
  return (
    <span class="digest">
      {href === undefined ? short : <a href={href}>{short}</a>}
      <CopyButton text={digest} what={TEXTS.digest} />
    </span>
  );
}
