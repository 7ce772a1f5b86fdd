/** The text of a body that somebody else sends, who may send too much. */

/** Rejects, naming `sender`, when there are more than `maxBytes`. Nothing is kept of what comes after. */
export async function boundedText(
  body: AsyncIterable<Uint8Array> | null,
  maxBytes: number,
  sender: string,
): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body ?? []) {
    length += piece.length;
    if (length > maxBytes) throw new Error(`${sender} sent more than ${maxBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString("utf8");
}
