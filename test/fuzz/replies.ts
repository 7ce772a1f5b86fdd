/** The replies on one connection, to requests of which none is a HEAD: each says by itself where it ends. */

export interface FuzzReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** All that are whole, and what is behind them: nothing, when every byte belongs to a reply. */
export function repliesIn(text: string): { readonly replies: readonly FuzzReply[]; readonly rest: string } {
  const replies: FuzzReply[] = [];
  let rest = text;
  for (;;) {
    const end = rest.indexOf("\r\n\r\n");
    if (end < 0) return { replies, rest };
    const [first = "", ...lines] = rest.slice(0, end).split("\r\n");
    const status = Number(/^HTTP\/1\.1 (\d{3})(?: |$)/.exec(first)?.[1] ?? 0);
    if (status === 0) return { replies, rest };
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()]),
    );
    const body = bodyAt(rest, end + 4, status, headers);
    if (!body) return { replies, rest };
    rest = rest.slice(body.end);
    if (status >= 200) replies.push({ status, headers, body: body.text });
  }
}

function bodyAt(
  text: string,
  start: number,
  status: number,
  headers: Readonly<Record<string, string>>,
): { readonly text: string; readonly end: number } | undefined {
  if (status < 200 || status === 204 || status === 304) return { text: "", end: start };
  if (headers["transfer-encoding"]?.toLowerCase() === "chunked") return chunksAt(text, start);
  const end = start + Number(headers["content-length"] ?? 0);
  return end <= text.length ? { text: text.slice(start, end), end } : undefined;
}

function chunksAt(text: string, start: number): { readonly text: string; readonly end: number } | undefined {
  let joined = "";
  for (let at = start; ;) {
    const line = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, line), 16);
    if (line < 0 || Number.isNaN(size) || line + 2 + size + 2 > text.length) return undefined;
    joined += text.slice(line + 2, line + 2 + size);
    at = line + 2 + size + 2;
    if (size === 0) return { text: joined, end: at };
  }
}
