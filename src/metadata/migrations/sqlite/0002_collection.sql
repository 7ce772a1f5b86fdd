-- Collection while serving.

-- When the subject of a manifest was deleted from its repository: it then lives on for the time to undo. A manifest whose
-- subject was never here has none.
alter table manifest add column orphaned_at integer;

-- Manifests that stay whatever points at them.
create table pin (
  repo integer not null,
  digest text not null,
  why text not null,
  primary key (repo, digest),
  foreign key (repo, digest) references manifest (repo, digest) on delete cascade
) strict, without rowid;

-- Work that one process at a time does, and until when it may.
create table lease (
  name text primary key,
  holder text not null,
  until integer not null
) strict, without rowid;
