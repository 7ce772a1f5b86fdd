/** JSON documents around a long list, made page by page. */

/** Bytes of the first piece: a document that has no more is one piece, and so has a length and can be cached. */
const FIRST_PIECE_BYTES = 256 * 1024;

/** Bytes that are gathered before they are sent. */
const PIECE_BYTES = 32 * 1024;

/** Returns the bytes of `head`, the items with commas between them, and `tail`, in pieces. No page is read before its piece. */
export async function* jsonList(
  head: string,
  pages: AsyncIterable<readonly unknown[]>,
  tail: string,
): AsyncGenerator<Uint8Array<ArrayBuffer>, void> {
  let text = head;
  let separator = "";
  let bytes = FIRST_PIECE_BYTES;
  for await (const page of pages) {
    if (page.length === 0) continue;
    text += separator + JSON.stringify(page).slice(1, -1);
    separator = ",";
    if (text.length <= bytes) continue;
    yield Buffer.from(text);
    text = "";
    bytes = PIECE_BYTES;
  }
  yield Buffer.from(text + tail);
}
