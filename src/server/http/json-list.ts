/** JSON documents around a long list, made page by page. */

/** Characters of the first piece: a document that has no more is one piece, and so has a length and can be cached. */
const FIRST_PIECE_LENGTH = 256 * 1024;

/** Characters that are gathered before they are sent. */
const PIECE_LENGTH = 32 * 1024;

/** Returns the text of `head`, the items with commas between them, and `tail`, in pieces. No page is read before its piece. */
export async function* jsonList(
  head: string,
  pages: AsyncIterable<readonly unknown[]>,
  tail: string,
): AsyncGenerator<string, void> {
  let text = head;
  let separator = "";
  let atMost = FIRST_PIECE_LENGTH;
  for await (const page of pages) {
    if (page.length === 0) continue;
    text += separator + JSON.stringify(page).slice(1, -1);
    separator = ",";
    if (text.length <= atMost) continue;
    yield text;
    text = "";
    atMost = PIECE_LENGTH;
  }
  yield text + tail;
}
