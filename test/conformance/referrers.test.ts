/** What refers to a manifest (distribution-spec, "Listing Referrers", "Pushing Manifests with Subject", end-12a, 12b). */
import { beforeAll, describe, expect, test } from "bun:test";
import { pushBlob, pushImage, putManifest } from "../support/client.ts";
import {
  descriptorOf,
  digestOf,
  DOCKER_MANIFEST,
  imageIndex,
  imageManifest,
  OCI_CONFIG,
  OCI_EMPTY,
  OCI_INDEX,
  OCI_MANIFEST,
} from "../support/content.ts";
import type { TestDescriptor } from "../support/content.ts";
import { expectRefused } from "../support/expect-refused.ts";
import { RepositoryClient } from "../support/repository-client.ts";
import { useRegistry } from "../support/use-registry.ts";
import { nextPage } from "./pages.ts";
import { POST_ONLY } from "./push-ways.ts";

const registry = useRegistry();
const repository = (name: string): RepositoryClient => new RepositoryClient(registry().url, name);

const SBOM = "application/vnd.example.sbom.v1";
const SIGNATURE = "application/vnd.example.signature.v1+json";
const EMPTY = descriptorOf(OCI_EMPTY, "{}");

type Properties = Readonly<Record<string, unknown>>;

/** A descriptor in a list of referrers. */
interface Referrer extends TestDescriptor {
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Pushes an artifact without content of its own about `subject`, and gives its descriptor. */
async function pushReferrer(
  target: RepositoryClient,
  subject: TestDescriptor,
  more: Properties = {},
  reference?: string,
): Promise<TestDescriptor> {
  await pushBlob(registry().url, target.name, "{}");
  const body = imageManifest(EMPTY, [EMPTY], { artifactType: SBOM, ...more, subject });
  return await pushDocument(target, body, OCI_MANIFEST, subject, reference);
}

/** Pushes any manifest that has a subject, and gives its descriptor. */
async function pushDocument(
  target: RepositoryClient,
  body: string,
  mediaType: string,
  subject: TestDescriptor,
  reference: string = digestOf(body),
): Promise<TestDescriptor> {
  const reply = await putManifest(registry().url, target.name, reference, body, mediaType);
  expect(`${reply.status} ${await reply.text()}`).toBe("201 ");
  // "MUST respond with the response header OCI-Subject: <subject digest>".
  expect(reply.headers.get("oci-subject")).toBe(subject.digest);
  return descriptorOf(mediaType, body);
}

async function pushSubject(target: RepositoryClient): Promise<TestDescriptor> {
  const image = await pushImage(registry().url, target.name, "subject", target.name);
  return descriptorOf(OCI_MANIFEST, image.body);
}

/** The whole answer for a digest, with what every answer must have. */
async function listReferrers(
  target: RepositoryClient,
  digest: string,
  query = "",
): Promise<{ readonly reply: Response; readonly manifests: readonly Referrer[] }> {
  const reply = await target.get(`referrers/${digest}${query}`);
  expect(reply.status).toBe(200);
  // Exactly: oras and crane compare it letter by letter.
  expect(reply.headers.get("content-type")).toBe(OCI_INDEX);
  const text = await reply.text();
  expect(reply.headers.get("content-length")).toBe(String(Buffer.byteLength(text)));
  // containerd reads 4 MiB and no more.
  expect(Buffer.byteLength(text)).toBeLessThanOrEqual(4 * 1024 * 1024);
  const { schemaVersion, mediaType, manifests, ...more } = JSON.parse(text) as Properties & { manifests: Referrer[] };
  expect({ schemaVersion, mediaType, more }).toEqual({ schemaVersion: 2, mediaType: OCI_INDEX, more: {} });
  return { reply, manifests };
}

/** Follows `Link` to the end, and gives the referrers of each page. */
async function walk(target: RepositoryClient, digest: string, query = ""): Promise<readonly (readonly Referrer[])[]> {
  const pages: (readonly Referrer[])[] = [];
  for (let next: string | undefined = query; next !== undefined;) {
    const { reply, manifests } = await listReferrers(target, digest, next);
    pages.push(manifests);
    const link = nextPage(reply, `${target.path}/referrers/${digest}`);
    next = link?.search;
    // A page says which filter was applied, the next one too, and applies it.
    if (query !== "") expect(reply.headers.get("oci-filters-applied")).toBe("artifactType");
    expect(pages.length).toBeLessThan(50);
  }
  return pages;
}

const digestsOf = (descriptors: readonly { readonly digest: string }[]): readonly string[] =>
  descriptors.map(({ digest }) => digest).toSorted();

describe("a list that is empty", () => {
  const UNKNOWN = digestOf("nobody pushed this");
  const known = "referrers/known";
  beforeAll(() => pushImage(registry().url, known, "v1"));

  // "the registry MUST NOT return a 404 Not Found to a referrers API requests."
  for (const name of [known, "referrers/nobody"]) {
    for (const digest of [UNKNOWN, `sha256:${"0".repeat(64)}`, digestOf("nobody", "sha512")]) {
      test(`${name}, ${digest.slice(0, 15)}…: 200 and an empty index`, async () => {
        const { reply, manifests } = await listReferrers(repository(name), digest);
        expect(manifests).toEqual([]);
        expect(reply.headers.get("link")).toBeNull();
        expect(reply.headers.get("oci-filters-applied")).toBeNull();
      });
    }
  }

  test("and asking for it brings no repository into being", async () => {
    await listReferrers(repository("referrers/asked-for"), UNKNOWN);
    await expectRefused(await repository("referrers/asked-for").get("tags/list"), 404, "NAME_UNKNOWN");
  });

  test("a filter is applied to nothing too", async () => {
    for (const name of [known, "referrers/nobody"]) {
      const { reply, manifests } = await listReferrers(repository(name), UNKNOWN, `?artifactType=${SBOM}`);
      expect(manifests).toEqual([]);
      expect(reply.headers.get("oci-filters-applied")).toBe("artifactType");
    }
  });

  test("a digest that is none is refused", async () => {
    // "If the request is invalid, such as a <digest> with an invalid syntax, a 400 Bad Request MUST be returned."
    for (const digest of ["sha256:zz", `sha256:${"A".repeat(64)}`, `md5:${"a".repeat(32)}`, "v1", "sha256:"]) {
      for (const name of [known, "referrers/nobody"]) {
        await expectRefused(await repository(name).get(`referrers/${digest}`), 400, "DIGEST_INVALID");
      }
    }
  });
});

describe("the descriptor of a referrer", () => {
  const CONFIG = { ...EMPTY, mediaType: OCI_CONFIG };
  const OTHER = "application/vnd.example.config.v1+json";
  const rows: readonly (readonly [
    title: string,
    write: (subject: TestDescriptor) => string,
    mediaType: string,
    expected: Properties,
  ])[] = [
    [
      "an image manifest with artifactType has it",
      (subject) => imageManifest(EMPTY, [EMPTY], { artifactType: SBOM, subject }),
      OCI_MANIFEST,
      { artifactType: SBOM },
    ],
    // "If the artifactType is empty or missing in the image manifest, the value of artifactType MUST be set to the config
    // descriptor mediaType value."
    [
      "an image manifest without has its config's type",
      (subject) => imageManifest(CONFIG, [EMPTY], { subject }),
      OCI_MANIFEST,
      { artifactType: OCI_CONFIG },
    ],
    [
      "an image manifest with an empty one has its config's type",
      (subject) => imageManifest({ ...EMPTY, mediaType: OTHER }, [EMPTY], { artifactType: "", subject }),
      OCI_MANIFEST,
      { artifactType: OTHER },
    ],
    [
      "an index with artifactType has it",
      (subject) => imageIndex([], { artifactType: SIGNATURE, subject }),
      OCI_INDEX,
      { artifactType: SIGNATURE },
    ],
    // "If the artifactType is empty or missing in an index, the artifactType MUST be omitted."
    ["an index without has none", (subject) => imageIndex([], { subject }), OCI_INDEX, {}],
    ["an index with an empty one has none", (subject) => imageIndex([], { artifactType: "", subject }), OCI_INDEX, {}],
    [
      "a Docker manifest with a subject is listed too",
      (subject) => imageManifest(CONFIG, [EMPTY], { mediaType: DOCKER_MANIFEST, subject }),
      DOCKER_MANIFEST,
      { artifactType: OCI_CONFIG },
    ],
    // "The descriptors MUST include annotations from the image manifest or index."
    [
      "all annotations of an image manifest are in it",
      (subject) =>
        imageManifest(EMPTY, [EMPTY], {
          artifactType: SBOM,
          subject,
          annotations: {
            "org.opencontainers.image.created": "2022-01-01T14:42:55Z",
            "org.example.größe": '🐳 "quoted"',
            "": "",
          },
        }),
      OCI_MANIFEST,
      {
        artifactType: SBOM,
        annotations: {
          "org.opencontainers.image.created": "2022-01-01T14:42:55Z",
          "org.example.größe": '🐳 "quoted"',
          "": "",
        },
      },
    ],
    [
      "all annotations of an index are in it",
      (subject) => imageIndex([], { subject, annotations: { one: "1", __proto__x: "2", constructor: "3" } }),
      OCI_INDEX,
      { annotations: { one: "1", __proto__x: "2", constructor: "3" } },
    ],
  ];
  for (const [at, [title, write, mediaType, expected]] of rows.entries()) {
    test(title, async () => {
      const target = repository(`referrers/descriptors/${at}`);
      const subject = await pushSubject(target);
      await pushBlob(registry().url, target.name, "{}");
      const body = write(subject);
      await pushDocument(target, body, mediaType, subject);
      const { manifests } = await listReferrers(target, subject.digest);
      expect(manifests).toEqual([{ ...descriptorOf(mediaType, body), ...expected }]);
    });
  }

  test("has the digest that it was pushed by, in its algorithm", async () => {
    const target = repository("referrers/descriptors/sha512");
    const subject = await pushSubject(target);
    const body = imageIndex([], { artifactType: SBOM, subject });
    const digest = digestOf(body, "sha512");
    await pushDocument(target, body, OCI_INDEX, subject, digest);
    const { manifests } = await listReferrers(target, subject.digest);
    expect(manifests).toEqual([{ ...descriptorOf(OCI_INDEX, body, { digest }), artifactType: SBOM }]);
  });
});

describe("a subject", () => {
  test("may be a sha512 digest", async () => {
    const target = repository("referrers/subject/sha512");
    const body = imageIndex([], { annotations: { subject: "sha512" } });
    const subject = descriptorOf(OCI_INDEX, body, { digest: digestOf(body, "sha512") });
    expect((await putManifest(registry().url, target.name, subject.digest, body, OCI_INDEX)).status).toBe(201);
    const referrer = await pushReferrer(target, subject);
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual([referrer.digest]);
    // Under another digest of the same bytes it is another subject.
    expect((await listReferrers(target, digestOf(body))).manifests).toEqual([]);
  });

  test("may be pushed before or after its referrers, or never", async () => {
    // "A registry MUST initially accept an otherwise valid manifest with a subject field that references a manifest that
    // does not exist in the repository".
    const target = repository("referrers/subject/missing");
    const body = imageIndex([], { annotations: { pushed: "last" } });
    const subject = descriptorOf(OCI_INDEX, body);
    const first = await pushReferrer(target, subject, { annotations: { at: "first" } });
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual([first.digest]);
    expect((await putManifest(registry().url, target.name, "v1", body, OCI_INDEX)).status).toBe(201);
    const second = await pushReferrer(target, subject, { annotations: { at: "second" } });
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual(digestsOf([first, second]));
  });

  test("is named in OCI-Subject by tag and by digest, and only when there is one", async () => {
    const target = repository("referrers/subject/header");
    const subject = descriptorOf(OCI_MANIFEST, "never pushed");
    for (const algorithm of ["sha256", "sha512"] as const) {
      const body = imageIndex([], { subject, annotations: { algorithm } });
      for (const reference of ["v1", digestOf(body, algorithm), `${digestOf(body, algorithm)}?tag=v2`]) {
        await pushDocument(target, body, OCI_INDEX, subject, reference);
      }
    }
    const without = await putManifest(registry().url, target.name, "v3", imageIndex([]), OCI_INDEX);
    expect(without.headers.get("oci-subject")).toBeNull();
  });

  test("may be the subject of one that is a subject itself", async () => {
    const target = repository("referrers/subject/chain");
    const image = await pushSubject(target);
    const sbom = await pushReferrer(target, image);
    const signature = await pushReferrer(target, sbom, { artifactType: SIGNATURE });
    expect(digestsOf((await listReferrers(target, image.digest)).manifests)).toEqual([sbom.digest]);
    expect(digestsOf((await listReferrers(target, sbom.digest)).manifests)).toEqual([signature.digest]);
    expect((await listReferrers(target, signature.digest)).manifests).toEqual([]);
  });
});

describe("a referrer is in the list", () => {
  test("once, however often and under how many tags it was pushed", async () => {
    const target = repository("referrers/once");
    const subject = await pushSubject(target);
    for (const reference of ["a", "b", "a", undefined, undefined]) await pushReferrer(target, subject, {}, reference);
    expect((await listReferrers(target, subject.digest)).manifests).toHaveLength(1);
  });

  test("of its own repository alone", async () => {
    const [one, other] = [repository("referrers/repositories/one"), repository("referrers/repositories/other")];
    const subject = await pushSubject(one);
    const [inOne, inOther] = [await pushReferrer(one, subject, { x: 1 }), await pushReferrer(other, subject, { x: 2 })];
    expect(digestsOf((await listReferrers(one, subject.digest)).manifests)).toEqual([inOne.digest]);
    expect(digestsOf((await listReferrers(other, subject.digest)).manifests)).toEqual([inOther.digest]);
  });

  test("until it is deleted by its digest; its tags may go before", async () => {
    const target = repository("referrers/deleted");
    const subject = await pushSubject(target);
    const [kept, gone] = [
      await pushReferrer(target, subject, { x: 1 }),
      await pushReferrer(target, subject, { x: 2 }, "gone"),
    ];
    expect((await target.delete("manifests/gone")).status).toBe(202);
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual(digestsOf([kept, gone]));
    expect((await target.delete(`manifests/${gone.digest}`)).status).toBe(202);
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual([kept.digest]);
    await pushReferrer(target, subject, { x: 2 });
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual(digestsOf([kept, gone]));
  });

  test("also after its subject was deleted", async () => {
    const target = repository("referrers/subject-deleted");
    const subject = await pushSubject(target);
    const referrer = await pushReferrer(target, subject);
    expect((await target.delete(`manifests/${subject.digest}`)).status).toBe(202);
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual([referrer.digest]);
  });

  test("also when many are pushed at the same time", async () => {
    const target = repository("referrers/at-once");
    const subject = await pushSubject(target);
    const pushed = await Promise.all(
      Array.from({ length: 24 }, (_, at) => pushReferrer(target, subject, { annotations: { at: `${at}` } })),
    );
    expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual(digestsOf(pushed));
  });
});

describe("the artifactType filter (end-12b)", () => {
  const NAME = "referrers/filters";
  let subject: TestDescriptor;
  let referrers: Readonly<Record<"sbom" | "other" | "signature" | "config" | "index", TestDescriptor>>;

  beforeAll(async () => {
    const target = repository(NAME);
    subject = await pushSubject(target);
    const plain = imageIndex([], { subject });
    const image = imageManifest({ ...EMPTY, mediaType: OCI_CONFIG }, [EMPTY], { subject });
    referrers = {
      sbom: await pushReferrer(target, subject),
      other: await pushReferrer(target, subject, { annotations: { other: "sbom" } }),
      signature: await pushReferrer(target, subject, { artifactType: SIGNATURE }),
      config: await pushDocument(target, image, OCI_MANIFEST, subject),
      index: await pushDocument(target, plain, OCI_INDEX, subject),
    };
  });

  type Kind = keyof typeof referrers;
  const rows: readonly (readonly [query: string, ...kinds: readonly Kind[]])[] = [
    [`?artifactType=${SBOM}`, "sbom", "other"],
    [`?artifactType=${encodeURIComponent(SIGNATURE)}`, "signature"],
    // A plus sign that a client did not encode: a space cannot stand in a type.
    [`?artifactType=${SIGNATURE}`, "signature"],
    // The type of a config counts where there is no other.
    [`?artifactType=${encodeURIComponent(OCI_CONFIG)}`, "config"],
    ["?artifactType=application/vnd.example.nobody"],
    [`?artifactType=${SBOM}.`],
    [`?artifactType=${SBOM.toUpperCase()}`],
    // containerd sends several: any of them.
    [`?artifactType=${SBOM}&artifactType=${encodeURIComponent(SIGNATURE)}`, "sbom", "other", "signature"],
    [`?artifactType=${SBOM}&artifactType=${SBOM}`, "sbom", "other"],
    [`?artifactType=application/vnd.example.nobody&artifactType=${encodeURIComponent(OCI_CONFIG)}`, "config"],
    // Unknown filters are not applied, and not named.
    [`?annotation=x&artifactType=${SBOM}&n=1`, "sbom", "other"],
  ];
  for (const [query, ...kinds] of rows) {
    test(`${query}: ${kinds.join(", ") || "nothing"}`, async () => {
      const { reply, manifests } = await listReferrers(repository(NAME), subject.digest, query);
      expect(digestsOf(manifests)).toEqual(digestsOf(kinds.map((kind) => referrers[kind])));
      // "the response MUST include a header OCI-Filters-Applied: artifactType".
      expect(reply.headers.get("oci-filters-applied")).toBe("artifactType");
    });
  }

  test("without it all are listed, and the header is not there", async () => {
    for (const query of ["", "?annotation=x", "?artifacttype=x", "?n=1", "?n=0", "?n=abc"]) {
      const { reply, manifests } = await listReferrers(repository(NAME), subject.digest, query);
      expect(digestsOf(manifests)).toEqual(digestsOf(Object.values(referrers)));
      expect(reply.headers.get("oci-filters-applied")).toBeNull();
    }
  });
});

describe("pages of referrers", () => {
  const KIB = 1024;

  test("hundreds of small ones are one page: it is the bytes that count", async () => {
    // containerd and crane do not follow a Link.
    const target = repository("referrers/pages/small");
    const subject = await pushSubject(target);
    await pushBlob(registry().url, target.name, "{}");
    const pushed: TestDescriptor[] = [];
    for (let at = 0; at < 300; at++) {
      const body = imageManifest(EMPTY, [EMPTY], { artifactType: SBOM, subject, annotations: { at: `${at}` } });
      pushed.push(await pushDocument(target, body, OCI_MANIFEST, subject));
    }
    const { reply, manifests } = await listReferrers(target, subject.digest);
    expect(reply.headers.get("link")).toBeNull();
    expect(digestsOf(manifests)).toEqual(digestsOf(pushed));
  });

  test("what does not fit into 4 MiB goes on by Link, each referrer once, with the filter", async () => {
    // "A Link header MUST be included in the response when the descriptor list cannot be returned in a single manifest."
    const target = repository("referrers/pages/large");
    const subject = await pushSubject(target);
    const pushed: TestDescriptor[] = [];
    for (let at = 0; at < 24; at++) {
      const artifactType = at % 2 === 0 ? SBOM : SIGNATURE;
      const annotations = { at: `${at}`, padding: "x".repeat(500 * KIB) };
      pushed.push(await pushReferrer(target, subject, { artifactType, annotations }));
    }
    const pages = await walk(target, subject.digest);
    expect(digestsOf(pages.flat())).toEqual(digestsOf(pushed));
    // 12 MiB in pages of just under 4: as few as can be.
    expect(pages.length).toBeLessThanOrEqual(4);
    expect(pages.length).toBeGreaterThanOrEqual(3);

    const filtered = await walk(target, subject.digest, `?artifactType=${encodeURIComponent(SIGNATURE)}`);
    expect(digestsOf(filtered.flat())).toEqual(digestsOf(pushed.filter((_, at) => at % 2 === 1)));
    expect(filtered.length).toBe(2);
  });

  test("the largest manifests that there can be are listed, each on a page of its own", async () => {
    const target = repository("referrers/pages/largest");
    const subject = await pushSubject(target);
    const pushed: TestDescriptor[] = [];
    for (const at of ["a", "b", "c"]) {
      const annotations = { at, padding: "x".repeat(4 * KIB * KIB - 4 * KIB) };
      pushed.push(await pushReferrer(target, subject, { annotations }));
    }
    const pages = await walk(target, subject.digest);
    expect(pages.map(({ length }) => length)).toEqual([1, 1, 1]);
    expect(digestsOf(pages.flat())).toEqual(digestsOf(pushed));
  });

  test("annotations that grow when they are escaped still fit", async () => {
    const target = repository("referrers/pages/escaped");
    const subject = await pushSubject(target);
    const pushed: TestDescriptor[] = [];
    for (let at = 0; at < 8; at++) {
      const annotations = { at: `${at}`, quotes: '"'.repeat(250 * KIB), whales: "🐳".repeat(60 * KIB) };
      pushed.push(await pushReferrer(target, subject, { annotations }));
    }
    expect(digestsOf((await walk(target, subject.digest)).flat())).toEqual(digestsOf(pushed));
  });
});

test("a tag of the referrers tag schema is a tag like any other", async () => {
  const target = repository("referrers/tag-schema");
  const subject = await pushSubject(target);
  const referrer = await pushReferrer(target, subject);
  const fallback = imageIndex([{ ...referrer, artifactType: SBOM }]);
  const tag = subject.digest.replace(":", "-");
  const put = await putManifest(registry().url, target.name, tag, fallback, OCI_INDEX);
  expect(put.status).toBe(201);
  expect(await (await target.get(`manifests/${tag}`)).text()).toBe(fallback);
  expect(await target.tags()).toEqual([tag, "subject"].toSorted());
  expect(digestsOf((await listReferrers(target, subject.digest)).manifests)).toEqual([referrer.digest]);
});

test("a blob whose digest is asked for has no referrers", async () => {
  const target = repository("referrers/of-a-blob");
  const digest = digestOf("a blob");
  await POST_ONLY.push(target, new TextEncoder().encode("a blob"), digest);
  expect((await listReferrers(target, digest)).manifests).toEqual([]);
});
