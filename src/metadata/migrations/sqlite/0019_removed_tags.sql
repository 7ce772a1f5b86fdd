-- A manifest is deleted in a moment, however many tags point at it and however many referrers it has.

-- The tags of a deleted manifest are removed by a job; until then their rows stay, and refer to nothing.
drop trigger tag_put;
drop trigger tag_removed;

create table new_tag (
  repo integer not null,
  name text not null,
  digest text not null,
  updated_at integer not null,
  -- Jobs with a larger id remove the tag, when they remove tags of this manifest: it is gone for clients since they began.
  last_job integer not null default 0,
  primary key (repo, name)
) strict, without rowid;
insert into new_tag (repo, name, digest, updated_at) select repo, name, digest, updated_at from tag order by repo, name;
drop table tag;
alter table new_tag rename to tag;
create index tag_digest on tag (repo, digest, name);

-- How many tags point at a manifest, without those that are gone for clients; no row for none.
create table tag_count (
  repo integer not null,
  digest text not null,
  tags integer not null,
  primary key (repo, digest)
) strict, without rowid;
insert into tag_count (repo, digest, tags) select repo, digest, count(*) from tag group by repo, digest;

create trigger tag_put after insert on tag begin
  update repo set tags = tags + 1 where id = new.repo;
  insert into tag_count (repo, digest, tags) values (new.repo, new.digest, 1)
    on conflict (repo, digest) do update set tags = tags + 1;
end;

create trigger tag_moved after update of digest on tag when new.digest <> old.digest begin
  update tag_count set tags = tags - 1 where repo = old.repo and digest = old.digest;
  delete from tag_count where repo = old.repo and digest = old.digest and tags <= 0;
  insert into tag_count (repo, digest, tags) values (new.repo, new.digest, 1)
    on conflict (repo, digest) do update set tags = tags + 1;
end;

create trigger tag_removed after delete on tag
when not exists (
  select 1 from job where repo = old.repo and subject = old.digest and kind = 'remove tags' and id > old.last_job)
begin
  update repo set tags = tags - 1 where id = old.repo;
  update tag_count set tags = tags - 1 where repo = old.repo and digest = old.digest;
  delete from tag_count where repo = old.repo and digest = old.digest and tags <= 0;
end;

-- What the foreign key of a tag was for: the database refuses to delete a manifest that a tag points at.
create trigger manifest_tagged before delete on manifest
when exists (select 1 from tag_count where repo = old.repo and digest = old.digest) begin
  select raise(abort, 'FOREIGN KEY constraint failed: a tag points at the manifest');
end;

-- When a tag last pointed at a manifest is one row of the index, however many tags ever did.
drop index tag_history_digest;
create index tag_history_digest on tag_history (repo, digest, until);

-- A subject that was deleted, and whose referrers are kept for the time to undo; no row for one that is here, or never was. Ids
-- are never used again.
create table former_subject (
  id integer primary key autoincrement,
  repo integer not null,
  digest text not null,
  deleted_at integer not null,
  unique (repo, digest)
) strict;
insert into former_subject (repo, digest, deleted_at)
  select repo, subject, max(orphaned_at) from manifest where subject is not null and orphaned_at is not null
  group by repo, subject;

-- That of its subject which was there when the manifest was pushed: such a referrer stands for itself, as one does whose subject
-- never was here.
alter table manifest rename column orphaned_at to pushed_after;
update manifest set pushed_after = iif(pushed_after is null, (
  select id from former_subject f where f.repo = manifest.repo and f.digest = manifest.subject), null)
where (repo, digest) in (
  select m.repo, m.digest from former_subject f join manifest m on m.repo = f.repo and m.subject = f.digest);
