/** Reads the text of a response, up to a number of bytes. */

/** Rejects, naming `sender`, when there are more than `maxBytes`, and reads no further. */
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
