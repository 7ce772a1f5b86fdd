/** The program of the peer `bun`: answers what a file says, and 404 to everything else. Takes that file and a port. */

/** What lies under which path. */
export type Served = Readonly<
  Record<string, { readonly text: string; readonly type: string } | { readonly path: string; readonly size: number }>
>;

if (import.meta.main) {
  const [file = "", port] = process.argv.slice(2);
  const answers = new Map(
    Object.entries((await Bun.file(file).json()) as Served).map(([path, one]) => [path, answerOf(one)]),
  );

  Bun.serve({
    hostname: "127.0.0.1",
    port: Number(port),
    development: false,
    fetch({ url, method }) {
      const one = answers.get(url.slice(url.indexOf("/", "http://".length)));
      if (!one) return new Response(null, { status: 404 });
      return new Response(method === "HEAD" ? null : one.body(), { headers: one.headers });
    },
  });
}

interface Answer {
  body(): Blob | Buffer<ArrayBuffer>;
  readonly headers: Headers;
}

function answerOf(one: Served[string]): Answer {
  if ("path" in one) return { body: () => Bun.file(one.path), headers: headersOf("octets", one.size) };
  const bytes = Buffer.from(one.text);
  return { body: () => bytes, headers: headersOf(one.type, bytes.length) };
}

/** As many as a registry sends. */
function headersOf(type: string, size: number): Headers {
  return new Headers({
    "content-type": type,
    "content-length": String(size),
    "docker-content-digest": `sha256:${"0".repeat(64)}`,
    "docker-distribution-api-version": "registry/2.0",
    "x-content-type-options": "nosniff",
    etag: `"sha256:${"0".repeat(64)}"`,
  });
}
