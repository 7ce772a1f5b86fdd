/** The program of the peer `bun`: answers what a file says, and 404 to everything else. Takes that file and a port. */

/** What lies under which path. */
export type Served = Readonly<
  Record<string, { readonly text: string; readonly type: string } | { readonly path: string; readonly size: number }>
>;

if (import.meta.main) {
  const [file = "", port] = process.argv.slice(2);
  const served = new Map(
    Object.entries((await Bun.file(file).json()) as Served).map(([path, one]) => {
      if ("path" in one)
        return [
          path,
          { bodyOf: (): Blob | Buffer<ArrayBuffer> => Bun.file(one.path), headers: headersOf("octets", one.size) },
        ];
      const body = Buffer.from(one.text);
      return [path, { bodyOf: (): Blob | Buffer<ArrayBuffer> => body, headers: headersOf(one.type, body.length) }];
    }),
  );

  Bun.serve({
    hostname: "127.0.0.1",
    port: Number(port),
    development: false,
    fetch({ url, method }) {
      const one = served.get(url.slice(url.indexOf("/", "http://".length)));
      if (!one) return new Response(null, { status: 404 });
      return new Response(method === "HEAD" ? null : one.bodyOf(), { headers: one.headers });
    },
  });
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
