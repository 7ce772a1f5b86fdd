-- The metadata of a registry. Times are milliseconds since 1970. Names and tags compare by bytes, which is what SQLite does by
-- itself. A digest is bytes: 1 (sha256) or 2 (sha512) and the value; 0 and the text of one whose algorithm is not computed
-- here. Rows refer to each other by ids, so that what is written together lies together.

-- A name that was written to. For a client a repository exists when something is in it. A deleted repository is renamed to
-- '~' and its id until a job has removed its rows; every name of a repository comes before '~'.
create table repo (
  id integer primary key,
  name text not null unique,
  created_at integer not null,
  -- of its blobs, manifests, signatures and unfinished uploads: what two repositories show counts in both
  bytes integer not null default 0,
  tags integer not null default 0,
  -- from then on, garbage collection sees whether anything is left in it; null when it need not
  review_after integer
) strict;
create index repo_review on repo (review_after) where review_after is not null;

-- Bytes that are here, whatever repositories show them. Either in the store under storage_key, which is fresh for every
-- upload and never used again, or in payload. The fingerprint is the store's: another one means that the bytes may have
-- changed. From review_after on, garbage collection looks at the row; null when it need not.
create table blob (
  id integer primary key,
  digest blob not null unique,
  size integer not null,
  storage_key text,
  fingerprint text,
  state text not null check (state in ('live', 'damaged')),
  created_at integer not null,
  touched_at integer not null,
  unref_at integer not null,
  review_after integer,
  payload blob
) strict;
create unique index blob_storage_key on blob (storage_key) where storage_key is not null;
create index blob_review on blob (review_after) where review_after is not null;

-- Which repository may show which blob: by upload, mount or manifest.
create table repo_blob (
  repo integer not null references repo (id),
  blob integer not null references blob (id) on delete cascade,
  touched_at integer not null,
  unref_at integer not null,
  review_after integer,
  primary key (repo, blob)
) strict, without rowid;
create index repo_blob_blob on repo_blob (blob, repo);
create index repo_blob_review on repo_blob (review_after, repo, blob) where review_after is not null;

-- Ids are never used again: a row that names the id of a deleted manifest names nothing.
create table manifest (
  id integer primary key autoincrement,
  repo integer not null references repo (id),
  digest blob not null,
  media_type text not null,
  artifact_type text,
  subject blob,
  size integer not null,
  annotations text,
  pushed_at integer not null,
  touched_at integer not null,
  -- The former subject that was recorded when the manifest was pushed: such a referrer stands for itself, as one does whose
  -- subject never was here.
  pushed_after integer,
  review_after integer,
  payload blob not null,
  unique (repo, digest)
) strict;
create index manifest_subject on manifest (repo, subject, digest) where subject is not null;
-- Referrers of one type are found without reading those of others. A manifest without a type is found by ''.
create index manifest_referrer on manifest (repo, subject, coalesce(artifact_type, ''), digest) where subject is not null;
create index manifest_review on manifest (review_after) where review_after is not null;

-- Which blobs a manifest needs. RESTRICT: the database refuses to delete a blob that is needed.
create table manifest_blob (
  manifest integer not null references manifest (id) on delete cascade,
  blob integer not null references blob (id) on delete restrict,
  -- of the manifest
  repo integer not null,
  primary key (manifest, blob)
) strict, without rowid;
create index manifest_blob_blob on manifest_blob (blob, repo);

-- The manifests of an index, by digest: an index may be sparse.
create table manifest_child (
  parent integer not null references manifest (id) on delete cascade,
  child blob not null,
  -- of the parent
  repo integer not null,
  primary key (parent, child)
) strict, without rowid;
create index manifest_child_child on manifest_child (repo, child);

-- What a manifest names and was not here when it was put: sparse images, foreign layers.
create table manifest_missing (
  manifest integer not null references manifest (id) on delete cascade,
  digest blob not null,
  -- of the manifest
  repo integer not null,
  primary key (manifest, digest)
) strict, without rowid;
create index manifest_missing_digest on manifest_missing (repo, digest);

-- A subject that was deleted, and whose referrers are kept for the time to undo; no row for one that is here, or never was. Ids
-- are never used again.
create table former_subject (
  id integer primary key autoincrement,
  repo integer not null,
  digest blob not null,
  deleted_at integer not null,
  unique (repo, digest)
) strict;

-- Without a foreign key: a manifest is deleted in a moment, however many tags point at it. Such tags are gone for clients,
-- and a job removes their rows.
create table tag (
  repo integer not null,
  name text not null,
  manifest integer not null,
  -- when it began to point there
  since integer not null,
  updated_at integer not null,
  primary key (repo, name)
) strict, without rowid;
create index tag_manifest on tag (manifest, name);

-- How many tags point at a manifest, without those that are gone for clients; no row for none.
create table tag_count (
  manifest integer primary key,
  tags integer not null
) strict;

-- What a tag pointed at before, and when.
create table tag_history (
  id integer primary key,
  repo integer not null references repo (id),
  name text not null,
  digest blob not null,
  since integer not null,
  until integer not null
) strict;
create index tag_history_name on tag_history (repo, name, id);
-- When a tag last pointed at a manifest is one row of the index, however many tags ever did.
create index tag_history_digest on tag_history (repo, digest, until);

create table signature (
  manifest integer not null references manifest (id) on delete cascade,
  name text not null,
  -- of the manifest
  repo integer not null,
  content blob not null,
  primary key (manifest, name)
) strict;

-- Manifests that stay whatever points at them.
create table pin (
  manifest integer primary key references manifest (id) on delete cascade,
  why text not null
) strict;

-- The journal of intents: a row stands here before the first byte of an upload lies anywhere.
create table upload (
  id text primary key,
  repo integer not null references repo (id),
  part_key text not null,
  -- what the store knows of the part, as JSON; the store's own
  part_state text,
  final_key text,
  algorithm text not null,
  received integer not null,
  -- for how many bytes it counts in quotas: at least those received
  counted integer not null default 0,
  digest_so_far blob,
  version integer not null,
  -- how often a client was told where the upload stands
  told integer not null default 0,
  -- whether a part may lie under part_key
  part_file integer not null default 0,
  -- the holder that writes to it; null when none does
  claimed_by text,
  -- a user, a robot, or the address of an anonymous client; null when it is not counted
  begun_by text,
  started_at integer not null,
  expires_at integer not null,
  -- the bytes while they are few
  staged blob
) strict, without rowid;
create index upload_repo on upload (repo);
create index upload_expires on upload (expires_at);
create index upload_begun_by on upload (begun_by) where begun_by is not null;

-- Each holder of uploads counts as running until its lease ends; it renews the lease while it writes to uploads.
create table holder (
  id text primary key,
  until integer not null
) strict, without rowid;

-- Keys whose bytes nothing needs any more; they may be removed after that time.
create table trash (
  storage_key text primary key,
  after integer not null
) strict, without rowid;
create index trash_after on trash (after);

-- A job that is not done yet. Its row goes with its last step. Ids are never used again.
create table job (
  id integer primary key autoincrement,
  kind text not null,
  -- 0 when it is about no repository
  repo integer not null,
  -- that of the manifest which it is about, whose row may be gone; null when it is about none
  manifest integer,
  digest blob,
  -- of the repository which it is about
  name text,
  -- where the next step goes on; empty before the first one
  position text not null default '',
  -- rows that the steps so far were about
  done integer not null default 0,
  begun_at integer not null
) strict;
create index job_manifest on job (manifest) where manifest is not null;
create index job_digest on job (repo, digest) where digest is not null;

-- Work that one process at a time does, and until when it may.
create table lease (
  name text primary key,
  holder text not null,
  until integer not null
) strict, without rowid;

-- When work on the whole registry was last done to its end.
create table last_run (
  job text primary key,
  at integer not null
) strict, without rowid;

-- The last changes that readers of a repository can see, by its name: a change outlives its repository. The numbers have no gap;
-- the oldest changes are removed.
create table change (
  number integer primary key,
  repository text not null
) strict;

-- 'accounts': users, robots and signing keys. 'blobs': changes of blobs that reach every repository which shows them.
create table revision (
  scope text primary key check (scope in ('accounts', 'blobs')),
  number integer not null
) strict, without rowid;
insert into revision (scope, number) values ('accounts', 0), ('blobs', 0);

-- How much lies below a prefix that has a quota: the sum over the repositories whose names are at most counted_to (by
-- bytes), which moves on in steps; null once all are counted. '*' is everything. While it is being counted, added_… says how
-- much was added there since that began, less what went, whatever is counted yet.
create table quota (
  prefix text primary key,
  bytes integer not null,
  tags integer not null,
  repositories integer not null,
  counted_to text,
  added_bytes integer not null default 0,
  added_tags integer not null default 0,
  added_repositories integer not null default 0
) strict, without rowid;

-- Keys that tokens are signed with. The newest signs; those before it stay until what they signed has expired.
create table signing_key (
  -- the thumbprint of the public key (RFC 7638)
  id text primary key,
  -- as JWK, the private part included
  jwk text not null,
  created_at integer not null
) strict, without rowid;

-- Who logs in with a password. The generation changes with everything that is changed: what was issued for an older one
-- is worth nothing.
create table account (
  name text primary key,
  password_hash text not null,
  member_of text not null,
  generation text not null,
  created_at integer not null,
  changed_at integer not null
) strict, without rowid;

-- What robots log in with. Nothing in a row ever changes: a token is made and revoked.
create table robot_token (
  id text primary key,
  robot text not null,
  secret_hash blob not null,
  grants text not null,
  created_at integer not null,
  expires_at integer
) strict, without rowid;
create index robot_token_robot on robot_token (robot);

-- Secrets that all processes on this database share: made when they are first needed.
create table secret (
  name text primary key,
  value blob not null
) strict, without rowid;

-- What operators changed by commands, until a server has written it to the audit.
create table operation (
  id integer primary key,
  at integer not null,
  who text not null,
  command text not null
) strict;
