-- What caches rest on: another number after each change that a reader can see.

-- That of the repository: a random number after each change, 0 before the first one. Random because a repository that is
-- removed and begins again would count the same numbers again.
alter table repo add column revision integer not null default 0;

-- 'accounts': users, robots and signing keys. 'blobs': changes of blobs that reach every repository which shows them.
create table revision (
  scope text primary key check (scope in ('accounts', 'blobs')),
  number integer not null
) strict, without rowid;
insert into revision (scope, number) values ('accounts', 0), ('blobs', 0);
