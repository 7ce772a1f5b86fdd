/** Statements about signatures that are kept beside a manifest. */
import type { Digest } from "../oci/digest.ts";
import type { RepositoryName } from "../oci/repository-name.ts";
import type { Signature } from "../oci/signature.ts";
import { findRepository, hasManifest } from "./repositories.ts";
import { moveRepository } from "./revisions.ts";
import { first, rows } from "./sql.ts";
import type { Transaction } from "./sql.ts";

const LIST = `
  select s.name, s.content from repo r join signature s on s.repo = r.id
  where r.name = $1 and s.manifest = $2 order by s.name`;

const HAS_NAME = `select 1 as found from signature where repo = $1 and manifest = $2 and name = $3`;

const BYTES = `select coalesce(sum(length(content)), 0) as bytes from signature where repo = $1 and manifest = $2`;

const ADD = `insert into signature (repo, manifest, name, content) values ($1, $2, $3, $4)`;

export function* listSignatures(name: RepositoryName, manifest: Digest): Transaction<readonly Signature[]> {
  return yield* rows<Signature>(LIST, name, manifest);
}

export function* putSignatures(
  name: RepositoryName,
  manifest: Digest,
  signatures: readonly Signature[],
  { maxBytes, taken }: { readonly maxBytes: number; readonly taken: "refuse" | "skip" },
): Transaction<"done" | "absent" | "exists" | "full"> {
  const repo = yield* findRepository(name);
  if (repo === undefined || !(yield* hasManifest(repo, manifest))) return "absent";
  const fresh: Signature[] = [];
  for (const signature of signatures) {
    if (!(yield* first(HAS_NAME, repo, manifest, signature.name))) fresh.push(signature);
    else if (taken === "refuse") return "exists";
  }
  const before = yield* first<{ bytes: number }>(BYTES, repo, manifest);
  const bytes = fresh.reduce((sum, { content }) => sum + content.length, before?.bytes ?? 0);
  if (bytes > maxBytes) return "full";
  for (const signature of fresh) yield* rows(ADD, repo, manifest, signature.name, signature.content);
  if (fresh.length > 0) yield* moveRepository(repo);
  return "done";
}
