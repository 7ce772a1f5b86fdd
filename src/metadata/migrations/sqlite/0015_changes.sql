-- A process learns by one read after a commit which repositories have changed, however many it caches responses of.

-- The last changes that readers of a repository can see, by its name: a change outlives its repository. The numbers have no gap;
-- the oldest changes are removed.
create table change (
  number integer primary key,
  repository text not null
) strict;

alter table repo drop column revision;
