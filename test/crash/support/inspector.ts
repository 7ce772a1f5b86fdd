/** Compares what a server shows with what was acknowledged. */
import { digestOf } from "../../support/content.ts";
import { RepositoryClient } from "../../support/repository-client.ts";
import { fingerprint, withUpload } from "./ledger.ts";
import type { Ledger, OpenUpload, State } from "./ledger.ts";

/** Requests at a time. */
const AT_ONCE = 4;

/**
 * Throws unless all that was acknowledged to the client is here byte for byte, what was in flight is here wholly or not at
 * all, and nothing else is; the ledger is then what the server shows.
 */
export async function settle(url: string, ledger: Ledger): Promise<void> {
  const { state, pending, shared } = ledger;
  const seen = await observe(url, ledger);
  const candidates = pending ? [state, pending] : [state];
  // Of what others push too a text of the state says nothing; but what was acknowledged is here.
  for (const digest of state.blobs) {
    if (seen.blobs.has(digest) || candidates.some(({ blobs }) => !blobs.has(digest))) continue;
    throw new Error(`${nameOf(ledger)}: the acknowledged blob ${digest} is gone`);
  }
  const shown = fingerprint(seen, shared);
  if (!candidates.some((candidate) => fingerprint(candidate, shared) === shown)) {
    const inFlight = pending ? `\nor, with what was in flight:\n${difference(seen, pending, shared)}` : "";
    throw new Error(
      `${nameOf(ledger)}: what the server shows (+) is not what was acknowledged (-):\n` +
        `${difference(seen, state, shared)}${inFlight}`,
    );
  }
  ledger.state = seen;
  ledger.pending = undefined;
}

/** After a collection without any grace: what no manifest needs may be gone; throws when anything else is. */
export async function settleCollected(url: string, ledger: Ledger): Promise<void> {
  const needed = ledger.needed();
  const client = new RepositoryClient(url, ledger.repository);
  const gone = new Set<string>();
  await each([...ledger.state.blobs], async (digest) => {
    const { status } = await client.head(`blobs/${digest}`);
    if (status === 404 && !needed.has(digest)) gone.add(digest);
    else if (status !== 200)
      throw new Error(`${nameOf(ledger)}: collection took the needed blob ${digest} (${status})`);
  });
  ledger.state = { ...ledger.state, blobs: new Set([...ledger.state.blobs].filter((digest) => !gone.has(digest))) };
}

/** Throws unless every tag of the repository is one of the clients', and each can be pulled whole. */
export async function pullAllTags(url: string, repository: string, ledgers: readonly Ledger[]): Promise<void> {
  const client = new RepositoryClient(url, repository);
  const reply = await client.get("tags/list");
  const { tags = [] } = (await reply.json()) as { tags?: string[] };
  const expected = ledgers.flatMap((ledger) => [...ledger.state.tags.keys()]);
  if (reply.status !== 200 && !(reply.status === 404 && expected.length === 0)) {
    throw new Error(`${repository}: tags/list answered ${reply.status}`);
  }
  if (tags.join() !== expected.toSorted().join()) {
    throw new Error(`${repository}: lists the tags ${tags.join()}, but has ${expected.toSorted().join()}`);
  }
  await each(tags, (tag) => pullWhole(client, tag));
}

/** Throws unless the referrers of every manifest are those that were acknowledged, and each can be pulled. */
export async function pullReferrers(url: string, ledger: Ledger): Promise<void> {
  const client = new RepositoryClient(url, ledger.repository);
  await each([...ledger.manifests.keys()], async (subject) => {
    const reply = await client.get(`referrers/${subject}`);
    if (reply.status !== 200)
      throw new Error(`${nameOf(ledger)}: the referrers of ${subject} answered ${reply.status}`);
    const { manifests } = (await reply.json()) as { manifests: { digest: string }[] };
    const listed = manifests.map(({ digest }) => digest);
    const expected = [...ledger.state.manifests].filter((digest) => ledger.manifests.get(digest)?.subject === subject);
    if (listed.toSorted().join() !== expected.toSorted().join()) {
      throw new Error(`${nameOf(ledger)}: ${subject} has the referrers ${listed.join()}, not ${expected.join()}`);
    }
    for (const digest of listed) await pullWhole(client, digest);
  });
}

/** Gets a manifest, the manifests below it and the heads of all their blobs. */
async function pullWhole(client: RepositoryClient, reference: string): Promise<void> {
  const reply = await client.get(`manifests/${reference}`);
  const body = await reply.text();
  if (reply.status !== 200) throw new Error(`${client.name}:${reference} is listed, and answers ${reply.status}`);
  if (digestOf(body) !== reply.headers.get("docker-content-digest")) {
    throw new Error(`${client.name}:${reference} has other bytes than its digest says`);
  }
  const {
    config,
    layers = [],
    manifests = [],
  } = JSON.parse(body) as {
    config?: { digest: string };
    layers?: { digest: string }[];
    manifests?: { digest: string }[];
  };
  for (const { digest } of config ? [config, ...layers] : layers) {
    const { status } = await client.head(`blobs/${digest}`);
    if (status !== 200) throw new Error(`${client.name}:${reference} needs ${digest}, which answers ${status}`);
  }
  for (const { digest } of manifests) await pullWhole(client, digest);
}

/** What the server shows of all that the client ever sent. Throws when bytes are not what they should be. */
async function observe(url: string, ledger: Ledger): Promise<State> {
  const client = new RepositoryClient(url, ledger.repository);
  const [blobs, manifests, tags] = [new Set<string>(), new Set<string>(), new Map<string, string>()];
  await each([...ledger.contents.keys()], async (digest) => {
    const reply = await client.get(`blobs/${digest}`);
    const bytes = await reply.bytes();
    if (!isFound(reply, `${nameOf(ledger)}: the blob ${digest}`)) return;
    const algorithm = digest.startsWith("sha512") ? "sha512" : "sha256";
    if (digestOf(bytes, algorithm) !== digest) throw new Error(`${nameOf(ledger)}: the blob ${digest} has other bytes`);
    blobs.add(digest);
  });
  await each([...ledger.manifests.values()], async (manifest) => {
    const reply = await client.get(`manifests/${manifest.digest}`);
    const body = await reply.text();
    if (!isFound(reply, `${nameOf(ledger)}: the manifest ${manifest.digest}`)) return;
    if (body !== manifest.body) throw new Error(`${nameOf(ledger)}: the manifest ${manifest.digest} has other bytes`);
    if (reply.headers.get("content-type") !== manifest.mediaType) {
      throw new Error(`${nameOf(ledger)}: the manifest ${manifest.digest} has another type`);
    }
    manifests.add(manifest.digest);
  });
  const known = new Set([ledger.state, ledger.pending].flatMap((state) => [...(state?.tags.keys() ?? [])]));
  await each([...known], async (tag) => {
    const reply = await client.head(`manifests/${tag}`);
    if (!isFound(reply, `${nameOf(ledger)}: the tag ${tag}`)) return;
    tags.set(tag, reply.headers.get("docker-content-digest") ?? "");
  });
  let state: State = { blobs, manifests, tags, uploads: new Map() };
  for (const [path, upload] of uploadsOf(ledger)) {
    const reply = await client.get(path);
    if (!isFound(reply, `${nameOf(ledger)}: the upload ${path}`)) continue;
    state = withUpload(state, path, { content: upload.content, offset: offsetIn(reply) });
  }
  return state;
}

function uploadsOf(ledger: Ledger): ReadonlyMap<string, OpenUpload> {
  return new Map([...(ledger.pending?.uploads ?? []), ...ledger.state.uploads]);
}

/** `Range: 0-0` is said of one byte and of none: the clients never send one byte alone. */
function offsetIn(reply: Response): number {
  const end = Number(/^0-(\d+)$/.exec(reply.headers.get("range") ?? "")?.[1]);
  return end === 0 ? 0 : end + 1;
}

function isFound({ status }: Response, what: string): boolean {
  if (status !== 200 && status !== 204 && status !== 404) throw new Error(`${what} answered ${status}`);
  return status !== 404;
}

function difference(seen: State, wanted: State, shared: ReadonlySet<string>): string {
  const [here, there] = [fingerprint(seen, shared).split("\n"), fingerprint(wanted, shared).split("\n")];
  const lines = [
    ...here.filter((line) => !there.includes(line)).map((line) => `  + ${line}`),
    ...there.filter((line) => !here.includes(line)).map((line) => `  - ${line}`),
  ];
  return lines.join("\n");
}

function nameOf({ repository, owner }: Ledger): string {
  return `${repository} (${owner})`;
}

async function each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const rest = items.values();
  const worker = async (): Promise<void> => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
