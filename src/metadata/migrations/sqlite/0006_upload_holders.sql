-- Who writes to an upload, and which processes still run.

-- The holder that writes to the upload: a process, or one of several registries in it. Null when none does.
alter table upload add column claimed_by text;
alter table upload drop column claimed_until;

-- Whether a part file may lie under storage_key: 1 from the first claim on.
alter table upload add column part_file integer not null default 0;
update upload set part_file = 1;

-- Each holder counts as running until its lease ends; it renews the lease while it writes to uploads.
create table holder (
  id text primary key,
  until integer not null
) strict, without rowid;
