/** Any sequence of requests leaves a registry that looks like a few maps to which the same was done. */
import { expect, test } from "bun:test";
import * as fc from "fast-check";
import type { Digest } from "../../oci/digest.ts";
import { digestOf } from "../../oci/digest.ts";
import type { RepositoryName } from "../../oci/repository-name.ts";
import { tag } from "../../oci/tag.ts";
import type { Tag } from "../../oci/tag.ts";
import type { Repository } from "../repository.ts";
import {
  APP,
  OCI_INDEX,
  OCI_MANIFEST,
  OTHER,
  bytes,
  contentOf,
  descriptorOf,
  pull,
  push,
  refusalOf,
} from "./contract-subject.ts";
import type { ContractSubject, OpenContract } from "./contract-subject.ts";

const NAMES: readonly RepositoryName[] = [APP, OTHER];
const TAGS: readonly Tag[] = [tag("latest"), tag("v1")];

/** Two that lie in the database by default, and two that never do. */
const CONTENTS: readonly Uint8Array[] = [
  bytes("{}"),
  contentOf("small", 900),
  contentOf("a", 17_000),
  contentOf("b", 30_000),
];
const BLOBS: readonly Digest[] = CONTENTS.map((content) => digestOf(content));

interface Document {
  readonly payload: Uint8Array;
  readonly digest: Digest;
  readonly blobs: readonly Digest[];
  readonly children: readonly Digest[];
  readonly subject: Digest | undefined;
}

/** Two images that share a config, a referrer of the first, and an index of both. */
const DOCUMENTS = documents();

interface Model {
  readonly blobs: Set<Digest>;
  readonly manifests: Map<Digest, Document>;
  readonly tags: Map<Tag, Digest>;
  /** What each tag has pointed at since when; undefined for nothing. */
  readonly past: { readonly name: Tag; readonly since: number; readonly digest: Digest | undefined }[];
}

type Registry = ReadonlyMap<RepositoryName, Model>;

/** The registry, as two processes have it. */
interface Real {
  readonly subject: ContractSubject;
  repository(process: number, name: RepositoryName): Repository;
}

type Command = fc.AsyncCommand<Registry, Real>;

export function testRegistryModel(open: OpenContract): void {
  test("any sequence of requests in two processes looks as the same sequence on a few maps", async () => {
    await fc.assert(
      fc.asyncProperty(fc.commands(commands(), { maxCommands: 30, size: "max" }), async (sequence) => {
        await using subject = await open();
        const namespaces = [subject.namespace, await subject.another()];
        const real: Real = { subject, repository: (process, name) => namespaces[process]!.repository(name) };
        const model = new Map(
          NAMES.map((name) => [
            name,
            { blobs: new Set(), manifests: new Map(), tags: new Map(), past: [] } satisfies Model,
          ]),
        );
        await fc.asyncModelRun(() => ({ model, real }), sequence);
        await expectAlike(model, real);
      }),
      { numRuns: 15 },
    );
  }, 120_000);
}

/** One request: what it does to the model, and what it is answered with there. */
interface Request {
  readonly words: string;
  readonly process: number;
  readonly name: RepositoryName;
  /** Changes the model, and gives the refusal that the registry has to give; undefined when it takes the request. */
  expected(model: Model, all: Registry, now: number): string | undefined;
  done(repository: Repository): Promise<unknown>;
}

function command(request: Request): Command {
  return {
    check: () => true,
    async run(model, real) {
      const now = (real.subject.clock.ms += 1000);
      const expected = request.expected(model.get(request.name)!, model, now) ?? "none";
      const actual = await refusalOf(request.done(real.repository(request.process, request.name)));
      expect(actual.split(" ")[0]).toBe(expected);
      await expectAlike(model, real);
    },
    toString: () => `${request.words} ${request.name} in process ${request.process}`,
  };
}

function commands(): fc.Arbitrary<Command>[] {
  const where = { process: fc.constantFrom(0, 1), name: fc.constantFrom(...NAMES) };
  const blob = fc.nat(BLOBS.length - 1);
  const document = fc.constantFrom(...DOCUMENTS);
  const pushing = fc.record({ ...where, blob }).map(({ blob: at, ...rest }) =>
    command({
      ...rest,
      words: `push blob ${at} to`,
      expected: (model) => void model.blobs.add(BLOBS[at]!),
      done: (repository) => push(repository, CONTENTS[at]!),
    }),
  );
  const mounting = fc.record({ ...where, blob }).map(({ blob: at, ...rest }) =>
    command({
      ...rest,
      words: `mount blob ${at} into`,
      expected(model, all) {
        if (all.get(otherThan(rest.name))!.blobs.has(BLOBS[at]!)) model.blobs.add(BLOBS[at]!);
      },
      done: (repository) => repository.blobs.mount(BLOBS[at]!, otherThan(rest.name)),
    }),
  );
  const unlinking = fc.record({ ...where, blob }).map(({ blob: at, ...rest }) =>
    command({
      ...rest,
      words: `delete blob ${at} of`,
      expected: (model) => absence(model, "BLOB_UNKNOWN", (here) => here.blobs.delete(BLOBS[at]!)),
      done: (repository) => repository.blobs.delete(BLOBS[at]!),
    }),
  );
  const putting = fc
    .record({ ...where, document, tags: fc.subarray([...TAGS]) })
    .map(({ document: put, tags, ...rest }) =>
      command({
        ...rest,
        words: `put manifest ${DOCUMENTS.indexOf(put)} as ${tags.join(" and ") || "no tag"} to`,
        expected(model, _all, now) {
          const isWhole =
            put.blobs.every((each) => model.blobs.has(each)) && put.children.every((each) => model.manifests.has(each));
          if (!isWhole) return "MANIFEST_BLOB_UNKNOWN";
          model.manifests.set(put.digest, put);
          for (const each of tags) point(model, each, put.digest, now);
          return undefined;
        },
        done: (repository) => repository.manifests.put(put.payload, { tags }),
      }),
    );
  const deleting = fc.record({ ...where, document }).map(({ document: { digest }, ...rest }) =>
    command({
      ...rest,
      words: `delete manifest ${DOCUMENTS.findIndex((each) => each.digest === digest)} of`,
      expected: (model, _all, now) =>
        absence(model, "MANIFEST_UNKNOWN", (here) => {
          for (const [each, pointed] of here.tags) if (pointed === digest) point(here, each, undefined, now);
          return here.manifests.delete(digest);
        }),
      done: (repository) => repository.manifests.delete(digest),
    }),
  );
  const tagging = fc
    .record({ ...where, document, tag: fc.constantFrom(...TAGS) })
    .map(({ document: { digest }, tag: each, ...rest }) =>
      command({
        ...rest,
        words: `tag manifest ${DOCUMENTS.findIndex((one) => one.digest === digest)} as ${each} in`,
        expected: (model, _all, now) =>
          absence(model, "MANIFEST_UNKNOWN", (here) => here.manifests.has(digest) && point(here, each, digest, now)),
        done: (repository) => repository.tags.put(each, digest),
      }),
    );
  const untagging = fc.record({ ...where, tag: fc.constantFrom(...TAGS) }).map(({ tag: each, ...rest }) =>
    command({
      ...rest,
      words: `delete tag ${each} of`,
      expected: (model, _all, now) =>
        absence(model, "MANIFEST_UNKNOWN", (here) => here.tags.has(each) && point(here, each, undefined, now)),
      done: (repository) => repository.tags.delete(each),
    }),
  );
  const restoring = fc
    .record({ ...where, tag: fc.constantFrom(...TAGS), ago: fc.nat(10) })
    .map(({ tag: each, ago, ...rest }) => {
      let at = 0;
      return command({
        ...rest,
        words: `put tag ${each} back to where it was ${ago} requests ago in`,
        expected(model, _all, now) {
          at = now - ago * 1000;
          return absence(model, "MANIFEST_UNKNOWN", (here) => {
            const then = here.past.findLast(({ name, since }) => name === each && since <= at)?.digest;
            return then !== undefined && here.manifests.has(then) && point(here, each, then, now);
          });
        },
        done: (repository) => repository.tags.restore(each, new Date(at)),
      });
    });
  const collecting = fc.constant<Command>({
    check: () => true,
    async run(model, real) {
      for (const here of model.values()) {
        const needed = new Set([...here.manifests.values()].flatMap(({ blobs }) => blobs));
        for (const each of here.blobs) if (!needed.has(each)) here.blobs.delete(each);
        if (isEmpty(here)) here.past.length = 0; // nothing is left that a tag could be put back to
      }
      real.subject.clock.ms += 1000;
      await real.subject.collectAll();
      await expectAlike(model, real);
    },
    toString: () => "collect",
  });
  const pushingImage = fc.record({ ...where, document }).map(({ document: image, ...rest }) =>
    command({
      ...rest,
      words: `push manifest ${DOCUMENTS.indexOf(image)} with all that it needs to`,
      expected(model) {
        for (const part of withParts(image)) {
          for (const each of part.blobs) model.blobs.add(each);
          model.manifests.set(part.digest, part);
        }
        return undefined;
      },
      async done(repository) {
        for (const part of withParts(image)) {
          for (const each of part.blobs) await push(repository, CONTENTS[BLOBS.indexOf(each)]!);
          await repository.manifests.put(part.payload);
        }
      },
    }),
  );
  return [
    pushingImage,
    pushing,
    mounting,
    unlinking,
    putting,
    putting,
    deleting,
    tagging,
    untagging,
    restoring,
    collecting,
  ];
}

/** The manifests of an index, and the document itself. */
function withParts(document: Document): readonly Document[] {
  return [...DOCUMENTS.filter(({ digest }) => document.children.includes(digest)), document];
}

/** Everything that the registry shows is as the model has it, whichever process is asked. */
async function expectAlike(model: Registry, real: Real): Promise<void> {
  for (const [name, here] of model) {
    for (const process of [0, 1]) {
      const repository = real.repository(process, name);
      expect(await repository.exists()).toBe(!isEmpty(here));
      for (const [at, digest] of BLOBS.entries()) {
        expect(await pull(repository, digest)).toEqual(here.blobs.has(digest) ? CONTENTS[at]! : undefined);
      }
      for (const { digest, payload } of DOCUMENTS) {
        expect((await repository.manifests.find(digest))?.payload).toEqual(
          here.manifests.has(digest) ? payload : undefined,
        );
      }
      const tags = (await Array.fromAsync(repository.tags.list())).map((each) => [each.name, each.digest]);
      expect(Object.fromEntries(tags)).toEqual(Object.fromEntries(here.tags));
      const subject = DOCUMENTS[0]!.digest;
      const referrers = (await Array.fromAsync(repository.referrers.list(subject))).map(({ digest }) => digest);
      const expected = [...here.manifests.values()].filter((each) => each.subject === subject);
      expect(referrers).toEqual(expected.map(({ digest }) => digest));
    }
  }
}

/** Does it when it can be done; else the code of the refusal. */
function absence(model: Model, code: string, act: (here: Model) => boolean): string | undefined {
  return act(model) ? undefined : code;
}

function point(model: Model, name: Tag, digest: Digest | undefined, since: number): true {
  if (digest === undefined) model.tags.delete(name);
  else model.tags.set(name, digest);
  model.past.push({ name, since, digest });
  return true;
}

function isEmpty({ blobs, manifests }: Model): boolean {
  return blobs.size === 0 && manifests.size === 0;
}

function otherThan(name: RepositoryName): RepositoryName {
  return name === APP ? OTHER : APP;
}

function blobAt(at: number) {
  return descriptorOf(CONTENTS[at]!, "application/octet-stream");
}

function documents(): readonly Document[] {
  const write = (fields: object, parts: Omit<Document, "payload" | "digest">): Document => {
    const payload = bytes(JSON.stringify({ schemaVersion: 2, ...fields }));
    return { ...parts, payload, digest: digestOf(payload) };
  };
  const image = (config: number, layers: readonly number[], subject?: Document): Document =>
    write(
      {
        mediaType: OCI_MANIFEST,
        config: blobAt(config),
        layers: layers.map(blobAt),
        ...(subject ? { subject: descriptorOf(subject.payload, OCI_MANIFEST) } : {}),
      },
      { blobs: [config, ...layers].map((at) => BLOBS[at]!), children: [], subject: subject?.digest },
    );
  const first = image(0, [2]);
  const second = image(0, [1, 3]);
  const children = [first, second];
  const index = write(
    { mediaType: OCI_INDEX, manifests: children.map(({ payload }) => descriptorOf(payload, OCI_MANIFEST)) },
    { blobs: [], children: children.map(({ digest }) => digest), subject: undefined },
  );
  return [first, second, image(1, [0], first), index];
}
