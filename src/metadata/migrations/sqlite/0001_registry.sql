-- The facts of a registry. Times are milliseconds since 1970. Names, tags and digests compare by bytes, which is what
-- SQLite does by itself.

-- A name that somebody has written to. For a client a repository exists when something is in it.
create table repo (
  id integer primary key,
  name text not null unique,
  created_at integer not null
) strict;

-- Bytes that are here, whatever repositories they are in. Either in the store under storage_key, which is fresh for
-- every upload and never used again, or inline.
create table blob (
  digest text primary key,
  size integer not null,
  storage_key text unique,
  mtime real,
  state text not null check (state in ('live', 'damaged')),
  created_at integer not null,
  touched_at integer not null,
  unref_at integer not null
) strict, without rowid;

create table blob_inline (
  digest text primary key references blob (digest) on delete cascade,
  payload blob not null
) strict;

-- Which repository may show which blob: by upload, mount or manifest.
create table repo_blob (
  repo integer not null references repo (id),
  digest text not null references blob (digest) on delete cascade,
  touched_at integer not null,
  unref_at integer not null,
  primary key (repo, digest)
) strict, without rowid;
create index repo_blob_digest on repo_blob (digest);

create table manifest (
  repo integer not null references repo (id),
  digest text not null,
  media_type text not null,
  artifact_type text,
  subject text,
  size integer not null,
  config_digest text,
  annotations text,
  pushed_at integer not null,
  touched_at integer not null,
  unref_at integer not null,
  payload blob not null,
  primary key (repo, digest)
) strict;
create index manifest_subject on manifest (repo, subject, digest) where subject is not null;

-- What a manifest needs of the blob store. RESTRICT: the database refuses to forget a blob that is needed.
create table manifest_blob (
  repo integer not null,
  manifest text not null,
  blob text not null references blob (digest) on delete restrict,
  primary key (repo, manifest, blob),
  foreign key (repo, manifest) references manifest (repo, digest) on delete cascade
) strict, without rowid;
create index manifest_blob_blob on manifest_blob (blob);

-- The manifests of an index. No foreign key to the child: an index may be sparse.
create table manifest_child (
  repo integer not null,
  parent text not null,
  child text not null,
  primary key (repo, parent, child),
  foreign key (repo, parent) references manifest (repo, digest) on delete cascade
) strict, without rowid;
create index manifest_child_child on manifest_child (repo, child);

-- What a manifest names and was not here when it was put: sparse images, foreign layers.
create table manifest_missing (
  repo integer not null,
  manifest text not null,
  digest text not null,
  primary key (repo, manifest, digest),
  foreign key (repo, manifest) references manifest (repo, digest) on delete cascade
) strict, without rowid;
create index manifest_missing_digest on manifest_missing (repo, digest);

create table tag (
  repo integer not null,
  name text not null,
  digest text not null,
  updated_at integer not null,
  primary key (repo, name),
  foreign key (repo, digest) references manifest (repo, digest) on delete restrict
) strict, without rowid;
create index tag_digest on tag (repo, digest);

-- Every digest that a tag has pointed at, and when. The row that still holds has no end.
create table tag_history (
  id integer primary key,
  repo integer not null references repo (id),
  name text not null,
  digest text not null,
  since integer not null,
  until integer
) strict;
create index tag_history_name on tag_history (repo, name, id);
create index tag_history_digest on tag_history (repo, digest);

create table signature (
  repo integer not null,
  manifest text not null,
  name text not null,
  content blob not null,
  primary key (repo, manifest, name),
  foreign key (repo, manifest) references manifest (repo, digest) on delete cascade
) strict;

-- The journal of intents: a row stands here before the first byte of an upload lies anywhere.
create table upload (
  id text primary key,
  repo integer not null references repo (id),
  storage_key text not null,
  final_key text,
  algorithm text not null,
  received integer not null,
  digest_so_far text,
  version integer not null,
  claimed_until integer,
  started_at integer not null,
  expires_at integer not null
) strict;
create index upload_repo on upload (repo);
create index upload_expires on upload (expires_at);

-- The bytes of an upload while they are few.
create table upload_inline (
  upload text primary key references upload (id) on delete cascade,
  payload blob not null
) strict;

-- Keys whose bytes nobody needs any more; they may be removed after that time.
create table trash (
  storage_key text primary key,
  after integer not null
) strict, without rowid;
create index trash_after on trash (after);

-- What may have lost its last reference, to be looked at after that time. A blob belongs to repository 0.
create table gc_queue (
  kind text not null check (kind in ('manifest', 'link', 'blob')),
  repo integer not null,
  digest text not null,
  review_after integer not null,
  primary key (kind, repo, digest)
) strict, without rowid;
create index gc_queue_review on gc_queue (review_after);
