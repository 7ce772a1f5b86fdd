-- A tree of distribution (registry:2, registry:3) in the data folder, which the registry takes over without copying it.

-- The one row is there once that has begun.
create table adoption (
  id integer primary key check (id = 1),
  phase text not null check (phase in ('names', 'repositories', 'blobs', 'tags', 'done')),
  -- where the phase goes on, as it wrote it
  position text not null default '',
  manifests integer not null default 0,
  tags integer not null default 0,
  blobs integer not null default 0,
  begun_at integer not null,
  done_at integer
) strict;

-- The repositories of the tree, until all is adopted. Nothing of one that is done is looked up in the tree any more.
create table adopted_repository (
  name text primary key,
  has_manifests integer not null,
  done integer not null
) strict, without rowid;
create index adopted_repository_open on adopted_repository (name) where done = 0;

-- What could not be adopted, or not as the tree has it.
create table adoption_finding (
  repository text not null,
  kind text not null,
  subject text not null,
  detail text not null,
  primary key (repository, kind, subject)
) strict, without rowid;
