/** Every endpoint of a repository: a request that works with the permission, and which permission that is. */
import { digestOf, imageManifest, descriptorOf, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from "../../support/content.ts";

export interface AskedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** What lies in a repository for the requests. */
export interface Contents {
  readonly name: string;
  /** A blob that no manifest needs. */
  readonly blob: string;
  readonly image: string;
  readonly tag: string;
  /** Where an upload that has begun goes on. */
  readonly upload: string;
}

export interface Endpoint {
  readonly name: string;
  readonly needs: "pull" | "push" | "delete";
  /** The status of success. */
  readonly status: number;
  ask(contents: Contents): AskedRequest;
}

const CONFIG = JSON.stringify({ architecture: "amd64", os: "linux" });
const BLOB = "a layer";
const MANIFEST = imageManifest(descriptorOf(OCI_CONFIG, CONFIG), [descriptorOf(OCI_LAYER, BLOB)]);
const ANOTHER = imageManifest(descriptorOf(OCI_CONFIG, CONFIG), [descriptorOf(OCI_LAYER, BLOB)], {
  annotations: { another: "one" },
});

const manifestType = { "content-type": OCI_MANIFEST };

function reading(name: string, pathOf: (contents: Contents) => string): readonly Endpoint[] {
  return ["GET", "HEAD"].map((method) => ({
    name: `${method} ${name}`,
    needs: "pull",
    status: 200,
    ask: (contents) => ({ method, path: pathOf(contents) }),
  }));
}

export const ENDPOINTS: readonly Endpoint[] = [
  ...reading("a blob", ({ name, blob }) => `/v2/${name}/blobs/${blob}`),
  ...reading("a manifest by its tag", ({ name, tag }) => `/v2/${name}/manifests/${tag}`),
  ...reading("a manifest by its digest", ({ name, image }) => `/v2/${name}/manifests/${image}`),
  ...reading("the tags", ({ name }) => `/v2/${name}/tags/list`),
  ...reading("referrers", ({ name, image }) => `/v2/${name}/referrers/${image}`),
  ...reading("signatures", ({ name, image }) => `/extensions/v2/${name}/signatures/${image}`),
  {
    name: "POST to begin an upload",
    needs: "push",
    status: 202,
    ask: ({ name }) => ({ method: "POST", path: `/v2/${name}/blobs/uploads/` }),
  },
  {
    name: "POST with a blob",
    needs: "push",
    status: 201,
    ask: ({ name }) => ({ method: "POST", path: `/v2/${name}/blobs/uploads/?digest=${digestOf("x")}`, body: "x" }),
  },
  {
    name: "POST to mount",
    needs: "push",
    status: 202,
    ask: ({ name, blob }) => ({ method: "POST", path: `/v2/${name}/blobs/uploads/?mount=${blob}&from=no/where` }),
  },
  {
    name: "GET the state of an upload",
    needs: "push",
    status: 204,
    ask: ({ upload }) => ({ method: "GET", path: upload }),
  },
  {
    name: "HEAD the state of an upload",
    needs: "push",
    status: 204,
    ask: ({ upload }) => ({ method: "HEAD", path: upload }),
  },
  {
    name: "PATCH an upload",
    needs: "push",
    status: 202,
    ask: ({ upload }) => ({ method: "PATCH", path: upload, body: "some bytes" }),
  },
  {
    name: "PUT to finish an upload",
    needs: "push",
    status: 201,
    ask: ({ upload }) => ({ method: "PUT", path: `${upload}?digest=${digestOf("all bytes")}`, body: "all bytes" }),
  },
  {
    name: "DELETE an upload",
    needs: "push",
    status: 204,
    ask: ({ upload }) => ({ method: "DELETE", path: upload }),
  },
  {
    name: "PUT a manifest under a tag",
    needs: "push",
    status: 201,
    ask: ({ name, tag }) => ({
      method: "PUT",
      path: `/v2/${name}/manifests/${tag}`,
      headers: manifestType,
      body: ANOTHER,
    }),
  },
  {
    name: "PUT a manifest under its digest",
    needs: "push",
    status: 201,
    ask: ({ name }) => ({
      method: "PUT",
      path: `/v2/${name}/manifests/${digestOf(ANOTHER)}`,
      headers: manifestType,
      body: ANOTHER,
    }),
  },
  {
    name: "PUT a signature",
    needs: "push",
    status: 201,
    ask: ({ name, image }) => ({
      method: "PUT",
      path: `/extensions/v2/${name}/signatures/${image}`,
      body: JSON.stringify({ schemaVersion: 2, name: `${image}@${"a".repeat(32)}`, type: "atomic", content: "c2ln" }),
    }),
  },
  {
    name: "DELETE a tag",
    needs: "delete",
    status: 202,
    ask: ({ name, tag }) => ({ method: "DELETE", path: `/v2/${name}/manifests/${tag}` }),
  },
  {
    name: "DELETE a manifest",
    needs: "delete",
    status: 202,
    ask: ({ name, image }) => ({ method: "DELETE", path: `/v2/${name}/manifests/${image}` }),
  },
  {
    name: "DELETE a blob",
    needs: "delete",
    status: 202,
    ask: ({ name, blob }) => ({ method: "DELETE", path: `/v2/${name}/blobs/${blob}` }),
  },
];

/** Sends a request as a user. No redirect is followed. */
export function send(
  url: string,
  asked: AskedRequest,
  credentials: Readonly<Record<string, string>>,
): Promise<Response> {
  const { method, path, headers = {}, body } = asked;
  const init = { method, headers: { ...headers, ...credentials }, redirect: "manual" } as const;
  return fetch(`${url}${path}`, body === undefined ? init : { ...init, body });
}

/** Puts what the requests are about into a repository, as a user with permission. */
export async function fill(
  url: string,
  name: string,
  credentials: Readonly<Record<string, string>>,
): Promise<Contents> {
  const put = async (asked: AskedRequest, status: number): Promise<Response> => {
    const reply = await send(url, asked, credentials);
    if (reply.status !== status)
      throw new Error(`${asked.method} ${asked.path}: ${reply.status} ${await reply.text()}`);
    return reply;
  };
  const uploads = `/v2/${name}/blobs/uploads/`;
  const spare = "a blob that nothing needs";
  for (const body of [CONFIG, BLOB, spare]) {
    await put({ method: "POST", path: `${uploads}?digest=${digestOf(body)}`, body }, 201);
  }
  await put({ method: "PUT", path: `/v2/${name}/manifests/v1`, headers: manifestType, body: MANIFEST }, 201);
  const begun = await put({ method: "POST", path: uploads }, 202);
  return {
    name,
    blob: digestOf(spare),
    image: digestOf(MANIFEST),
    tag: "v1",
    upload: begun.headers.get("location") ?? "",
  };
}
