/** The ways to push a blob (distribution-spec, "Pushing blobs"). Each asserts what the spec says of its steps. */
import { streamOf } from "../support/repository-client.ts";
import type { RepositoryClient } from "../support/repository-client.ts";
import { closeSession, expectSession, openSession, sendChunk } from "./sessions.ts";

export interface PushWay {
  readonly title: string;
  /** Gives the reply of the last request, which creates the blob or refuses it. */
  readonly push: (repository: RepositoryClient, bytes: Uint8Array<ArrayBuffer>, digest: string) => Promise<Response>;
}

const OCTETS = { "content-type": "application/octet-stream" };

/** "chunks … except for the final chunk": three of them, the last one shorter. */
function inThree(bytes: Uint8Array<ArrayBuffer>): readonly [number, Uint8Array<ArrayBuffer>][] {
  const size = Math.max(1, Math.ceil(bytes.length / 3));
  const starts = [0, size, 2 * size].filter((start) => start < bytes.length);
  return starts.map((start) => [start, bytes.slice(start, start + size)]);
}

async function pushChunks(
  repository: RepositoryClient,
  chunks: readonly (readonly [number, Uint8Array<ArrayBuffer>])[],
): Promise<string> {
  let location = await openSession(repository);
  for (const [start, chunk] of chunks) location = await sendChunk(repository, location, chunk, start);
  return location;
}

export const POST_ONLY: PushWay = {
  title: "a single POST (end-4b)",
  push: (repository, bytes, digest) =>
    repository.send("POST", `blobs/uploads/?digest=${digest}`, { body: bytes, headers: OCTETS }),
};

export const POST_PUT: PushWay = {
  title: "POST, then PUT (end-4a, end-6)",
  push: async (repository, bytes, digest) =>
    await closeSession(repository, await openSession(repository), digest, bytes, OCTETS),
};

export const ONE_CHUNK: PushWay = {
  title: "POST, one chunk, PUT (end-5)",
  push: async (repository, bytes, digest) => {
    const chunks = bytes.length === 0 ? [] : [[0, bytes] as const];
    return await closeSession(repository, await pushChunks(repository, chunks), digest);
  },
};

export const STREAM: PushWay = {
  title: "POST, a stream of unknown length, PUT",
  push: async (repository, bytes, digest) => {
    const half = bytes.length >> 1;
    const body = streamOf(bytes.slice(0, half), bytes.slice(half));
    const reply = await repository.send("PATCH", await openSession(repository), { body, headers: OCTETS });
    return await closeSession(repository, expectSession(reply, repository, 202, bytes.length), digest);
  },
};

/** The four that the official suite tells apart. */
export const BASIC_WAYS: readonly PushWay[] = [POST_ONLY, POST_PUT, ONE_CHUNK, STREAM];

export const PUSH_WAYS: readonly PushWay[] = [
  ...BASIC_WAYS,
  {
    title: "POST, several chunks, PUT",
    push: async (repository, bytes, digest) =>
      await closeSession(repository, await pushChunks(repository, inThree(bytes)), digest),
  },
  {
    title: "POST, several chunks, the last in the PUT",
    push: async (repository, bytes, digest) => {
      const chunks = [...inThree(bytes)];
      const [start, last] = chunks.pop() ?? [0, new Uint8Array()];
      const range = last.length === 0 ? {} : { "content-range": `${start}-${start + last.length - 1}` };
      return await closeSession(repository, await pushChunks(repository, chunks), digest, last, {
        ...OCTETS,
        ...range,
      });
    },
  },
  {
    title: "POST, chunks without Content-Range, the last in the PUT",
    push: async (repository, bytes, digest) => {
      let location = await openSession(repository);
      const chunks = inThree(bytes).map(([, chunk]) => chunk);
      const last = chunks.pop() ?? new Uint8Array();
      for (const chunk of chunks) location = await sendChunk(repository, location, chunk);
      return await closeSession(repository, location, digest, last, OCTETS);
    },
  },
  {
    title: "POST, a stream in the PUT",
    push: async (repository, bytes, digest) =>
      await repository.send("PUT", `${await openSession(repository)}?digest=${digest}`, {
        body: streamOf(bytes),
        headers: OCTETS,
      }),
  },
  {
    title: "POST with digest-algorithm (end-4c), then PUT",
    push: async (repository, bytes, digest) => {
      const [algorithm] = digest.split(":");
      return await closeSession(
        repository,
        await openSession(repository, `?digest-algorithm=${algorithm}`),
        digest,
        bytes,
      );
    },
  },
];
