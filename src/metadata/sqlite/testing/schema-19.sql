-- The schema of the last development version, which is converted (conversion.ts).

CREATE TABLE repo (
  id integer primary key,
  name text not null unique,
  created_at integer not null
, bytes integer not null default 0, tags integer not null default 0) strict;

CREATE TABLE blob (
  digest text primary key,
  size integer not null,
  storage_key text unique,
  mtime real,
  state text not null check (state in ('live', 'damaged')),
  created_at integer not null,
  touched_at integer not null,
  unref_at integer not null
) strict, without rowid;

CREATE TABLE blob_inline (
  digest text primary key references blob (digest) on delete cascade,
  payload blob not null
) strict;

CREATE TABLE repo_blob (
  repo integer not null references repo (id),
  digest text not null references blob (digest) on delete cascade,
  touched_at integer not null,
  unref_at integer not null,
  primary key (repo, digest)
) strict, without rowid;

CREATE TABLE manifest (
  repo integer not null references repo (id),
  digest text not null,
  media_type text not null,
  artifact_type text,
  subject text,
  size integer not null,
  annotations text,
  pushed_at integer not null,
  touched_at integer not null,
  payload blob not null, pushed_after integer,
  primary key (repo, digest)
) strict;

CREATE TABLE manifest_blob (
  repo integer not null,
  manifest text not null,
  blob text not null references blob (digest) on delete restrict,
  primary key (repo, manifest, blob),
  foreign key (repo, manifest) references manifest (repo, digest) on delete cascade
) strict, without rowid;

CREATE TABLE manifest_child (
  repo integer not null,
  parent text not null,
  child text not null,
  primary key (repo, parent, child),
  foreign key (repo, parent) references manifest (repo, digest) on delete cascade
) strict, without rowid;

CREATE TABLE manifest_missing (
  repo integer not null,
  manifest text not null,
  digest text not null,
  primary key (repo, manifest, digest),
  foreign key (repo, manifest) references manifest (repo, digest) on delete cascade
) strict, without rowid;

CREATE TABLE tag_history (
  id integer primary key,
  repo integer not null references repo (id),
  name text not null,
  digest text not null,
  since integer not null,
  until integer
) strict;

CREATE TABLE signature (
  repo integer not null,
  manifest text not null,
  name text not null,
  content blob not null,
  primary key (repo, manifest, name),
  foreign key (repo, manifest) references manifest (repo, digest) on delete cascade
) strict;

CREATE TABLE upload (
  id text primary key,
  repo integer not null references repo (id),
  storage_key text not null,
  final_key text,
  algorithm text not null,
  received integer not null,
  digest_so_far text,
  version integer not null,
  started_at integer not null,
  expires_at integer not null
, claimed_by text, part_file integer not null default 0, told integer not null default 0, counted integer not null default 0, begun_by text) strict;

CREATE TABLE upload_inline (
  upload text primary key references upload (id) on delete cascade,
  payload blob not null
) strict;

CREATE TABLE trash (
  storage_key text primary key,
  after integer not null
) strict, without rowid;

CREATE TABLE gc_queue (
  kind text not null check (kind in ('manifest', 'link', 'blob')),
  repo integer not null,
  digest text not null,
  review_after integer not null,
  primary key (kind, repo, digest)
) strict, without rowid;

CREATE TABLE pin (
  repo integer not null,
  digest text not null,
  why text not null,
  primary key (repo, digest),
  foreign key (repo, digest) references manifest (repo, digest) on delete cascade
) strict, without rowid;

CREATE TABLE lease (
  name text primary key,
  holder text not null,
  until integer not null
) strict, without rowid;

CREATE TABLE signing_key (
  -- the thumbprint of the public key (RFC 7638)
  id text primary key,
  -- as JWK, the private part included
  jwk text not null,
  created_at integer not null
) strict, without rowid;

CREATE TABLE account (
  name text primary key,
  password_hash text not null,
  member_of text not null,
  generation text not null,
  created_at integer not null,
  changed_at integer not null
) strict, without rowid;

CREATE TABLE robot_token (
  id text primary key,
  robot text not null,
  secret_hash blob not null,
  grants text not null,
  created_at integer not null,
  expires_at integer
) strict, without rowid;

CREATE TABLE holder (
  id text primary key,
  until integer not null
) strict, without rowid;

CREATE TABLE last_run (
  job text primary key,
  at integer not null
) strict, without rowid;

CREATE TABLE quota (
  prefix text primary key,
  bytes integer not null,
  tags integer not null,
  repositories integer not null,
  counted_to text
, added_bytes integer not null default 0, added_tags integer not null default 0, added_repositories integer not null default 0) strict, without rowid;

CREATE TABLE secret (
  name text primary key,
  value blob not null
) strict, without rowid;

CREATE TABLE operation (
  id integer primary key,
  at integer not null,
  who text not null,
  command text not null
) strict;

CREATE TABLE revision (
  scope text primary key check (scope in ('accounts', 'blobs')),
  number integer not null
) strict, without rowid;

CREATE TABLE change (
  number integer primary key,
  repository text not null
) strict;

CREATE TABLE job (
  id integer primary key autoincrement,
  kind text not null,
  -- 0 when it is about no repository
  repo integer not null,
  -- what it is about, such as the name of a repository, or a digest in one
  subject text not null,
  -- where the next step goes on; empty before the first one
  position text not null default '',
  -- rows that the steps so far were about
  done integer not null default 0,
  begun_at integer not null
) strict;

CREATE TABLE "tag" (
  repo integer not null,
  name text not null,
  digest text not null,
  updated_at integer not null,
  -- Jobs with a larger id remove the tag, when they remove tags of this manifest: it is gone for clients since they began.
  last_job integer not null default 0,
  primary key (repo, name)
) strict, without rowid;

CREATE TABLE tag_count (
  repo integer not null,
  digest text not null,
  tags integer not null,
  primary key (repo, digest)
) strict, without rowid;

CREATE TABLE former_subject (
  id integer primary key autoincrement,
  repo integer not null,
  digest text not null,
  deleted_at integer not null,
  unique (repo, digest)
) strict;

CREATE INDEX repo_blob_digest on repo_blob (digest);

CREATE INDEX manifest_subject on manifest (repo, subject, digest) where subject is not null;

CREATE INDEX manifest_blob_blob on manifest_blob (blob);

CREATE INDEX manifest_child_child on manifest_child (repo, child);

CREATE INDEX manifest_missing_digest on manifest_missing (repo, digest);

CREATE INDEX tag_history_name on tag_history (repo, name, id);

CREATE INDEX upload_repo on upload (repo);

CREATE INDEX upload_expires on upload (expires_at);

CREATE INDEX trash_after on trash (after);

CREATE INDEX gc_queue_review on gc_queue (review_after);

CREATE INDEX robot_token_robot on robot_token (robot);

CREATE INDEX upload_begun_by on upload (begun_by) where begun_by is not null;

CREATE INDEX manifest_referrer on manifest (repo, subject, coalesce(artifact_type, ''), digest) where subject is not null;

CREATE INDEX job_subject on job (repo, subject);

CREATE INDEX tag_digest on tag (repo, digest, name);

CREATE INDEX tag_history_digest on tag_history (repo, digest, until);

CREATE TRIGGER blob_shown after insert on repo_blob begin
  update repo set bytes = bytes + (select size from blob where digest = new.digest) where id = new.repo;
end;

CREATE TRIGGER blob_hidden before delete on repo_blob begin
  update repo set bytes = bytes - coalesce((select size from blob where digest = old.digest), 0) where id = old.repo;
end;

CREATE TRIGGER manifest_put after insert on manifest begin
  update repo set bytes = bytes + new.size where id = new.repo;
end;

CREATE TRIGGER manifest_removed after delete on manifest begin
  update repo set bytes = bytes - old.size where id = old.repo;
end;

CREATE TRIGGER signature_put after insert on signature begin
  update repo set bytes = bytes + length(new.content) where id = new.repo;
end;

CREATE TRIGGER signature_removed after delete on signature begin
  update repo set bytes = bytes - length(old.content) where id = old.repo;
end;

CREATE TRIGGER upload_counted after update of counted on upload when new.counted <> old.counted begin
  update repo set bytes = bytes + new.counted - old.counted where id = new.repo;
end;

CREATE TRIGGER upload_ended after delete on upload when old.counted > 0 begin
  update repo set bytes = bytes - old.counted where id = old.repo;
end;

CREATE TRIGGER repo_begun after insert on repo when exists (select 1 from quota) begin
  update quota set
    repositories = repositories + iif(counted_to is null or new.name <= counted_to, 1, 0),
    added_repositories = added_repositories + iif(counted_to is null, 0, 1)
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;

CREATE TRIGGER repo_deleted after update of name on repo when exists (select 1 from quota) begin
  update quota set
    repositories = repositories - iif(counted_to is null or old.name <= counted_to, 1, 0),
    bytes = bytes - iif(counted_to is null or old.name <= counted_to, old.bytes, 0),
    tags = tags - iif(counted_to is null or old.name <= counted_to, old.tags, 0),
    added_repositories = added_repositories - iif(counted_to is null, 0, 1),
    added_bytes = added_bytes - iif(counted_to is null, 0, old.bytes),
    added_tags = added_tags - iif(counted_to is null, 0, old.tags)
  where prefix = '*' or old.name = prefix or substr(old.name, 1, length(prefix) + 1) = prefix || '/';
end;

CREATE TRIGGER repo_forgotten after delete on repo when old.name < '~' and exists (select 1 from quota) begin
  update quota set
    repositories = repositories - iif(counted_to is null or old.name <= counted_to, 1, 0),
    bytes = bytes - iif(counted_to is null or old.name <= counted_to, old.bytes, 0),
    tags = tags - iif(counted_to is null or old.name <= counted_to, old.tags, 0),
    added_repositories = added_repositories - iif(counted_to is null, 0, 1),
    added_bytes = added_bytes - iif(counted_to is null, 0, old.bytes),
    added_tags = added_tags - iif(counted_to is null, 0, old.tags)
  where prefix = '*' or old.name = prefix or substr(old.name, 1, length(prefix) + 1) = prefix || '/';
end;

CREATE TRIGGER repo_used after update of bytes, tags on repo when new.name < '~' and exists (select 1 from quota) begin
  update quota set
    bytes = bytes + iif(counted_to is null or new.name <= counted_to, new.bytes - old.bytes, 0),
    tags = tags + iif(counted_to is null or new.name <= counted_to, new.tags - old.tags, 0),
    added_bytes = added_bytes + iif(counted_to is null, 0, new.bytes - old.bytes),
    added_tags = added_tags + iif(counted_to is null, 0, new.tags - old.tags)
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;

CREATE TRIGGER tag_put after insert on tag begin
  update repo set tags = tags + 1 where id = new.repo;
  insert into tag_count (repo, digest, tags) values (new.repo, new.digest, 1)
    on conflict (repo, digest) do update set tags = tags + 1;
end;

CREATE TRIGGER tag_moved after update of digest on tag when new.digest <> old.digest begin
  update tag_count set tags = tags - 1 where repo = old.repo and digest = old.digest;
  delete from tag_count where repo = old.repo and digest = old.digest and tags <= 0;
  insert into tag_count (repo, digest, tags) values (new.repo, new.digest, 1)
    on conflict (repo, digest) do update set tags = tags + 1;
end;

CREATE TRIGGER tag_removed after delete on tag
when not exists (
  select 1 from job where repo = old.repo and subject = old.digest and kind = 'remove tags' and id > old.last_job)
begin
  update repo set tags = tags - 1 where id = old.repo;
  update tag_count set tags = tags - 1 where repo = old.repo and digest = old.digest;
  delete from tag_count where repo = old.repo and digest = old.digest and tags <= 0;
end;

CREATE TRIGGER manifest_tagged before delete on manifest
when exists (select 1 from tag_count where repo = old.repo and digest = old.digest) begin
  select raise(abort, 'FOREIGN KEY constraint failed: a tag points at the manifest');
end;

insert into revision (scope, number) values ('accounts', 0), ('blobs', 0);
pragma user_version = 19;
