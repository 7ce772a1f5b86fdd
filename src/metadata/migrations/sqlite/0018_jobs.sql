-- Work on many rows is done in steps, after the transaction that made it necessary.

-- A job that is not done yet. Its row goes with its last step. Ids are never used again.
create table job (
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
create index job_subject on job (repo, subject);

-- A deleted repository is renamed to '~' and its id until a job has removed its rows. No name of a repository begins with '~',
-- which comes behind all of them. Nothing of it counts in quotas any more.
drop trigger repo_forgotten;
drop trigger repo_used;

create trigger repo_deleted after update of name on repo when exists (select 1 from quota) begin
  update quota set
    repositories = repositories - iif(counted_to is null or old.name <= counted_to, 1, 0),
    bytes = bytes - iif(counted_to is null or old.name <= counted_to, old.bytes, 0),
    tags = tags - iif(counted_to is null or old.name <= counted_to, old.tags, 0),
    added_repositories = added_repositories - iif(counted_to is null, 0, 1),
    added_bytes = added_bytes - iif(counted_to is null, 0, old.bytes),
    added_tags = added_tags - iif(counted_to is null, 0, old.tags)
  where prefix = '*' or old.name = prefix or substr(old.name, 1, length(prefix) + 1) = prefix || '/';
end;

create trigger repo_forgotten after delete on repo when old.name < '~' and exists (select 1 from quota) begin
  update quota set
    repositories = repositories - iif(counted_to is null or old.name <= counted_to, 1, 0),
    bytes = bytes - iif(counted_to is null or old.name <= counted_to, old.bytes, 0),
    tags = tags - iif(counted_to is null or old.name <= counted_to, old.tags, 0),
    added_repositories = added_repositories - iif(counted_to is null, 0, 1),
    added_bytes = added_bytes - iif(counted_to is null, 0, old.bytes),
    added_tags = added_tags - iif(counted_to is null, 0, old.tags)
  where prefix = '*' or old.name = prefix or substr(old.name, 1, length(prefix) + 1) = prefix || '/';
end;

create trigger repo_used after update of bytes, tags on repo when new.name < '~' and exists (select 1 from quota) begin
  update quota set
    bytes = bytes + iif(counted_to is null or new.name <= counted_to, new.bytes - old.bytes, 0),
    tags = tags + iif(counted_to is null or new.name <= counted_to, new.tags - old.tags, 0),
    added_bytes = added_bytes + iif(counted_to is null, 0, new.bytes - old.bytes),
    added_tags = added_tags + iif(counted_to is null, 0, new.tags - old.tags)
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;
