-- What each repository holds, kept by triggers, so that no quota has to look at it all.

-- Of its blobs, manifests, signatures and unfinished uploads: what two repositories show counts in both.
alter table repo add column bytes integer not null default 0;
alter table repo add column tags integer not null default 0;

drop trigger repo_begun;
drop trigger repo_forgotten;
drop trigger blob_shown;
drop trigger blob_hidden;
drop trigger manifest_put;
drop trigger manifest_removed;
drop trigger tag_put;
drop trigger tag_removed;
drop table quota;

update repo set
  bytes = coalesce((select sum(b.size) from repo_blob l join blob b on b.digest = l.digest where l.repo = repo.id), 0)
    + coalesce((select sum(size) from manifest where repo = repo.id), 0)
    + coalesce((select sum(length(content)) from signature where repo = repo.id), 0)
    + coalesce((select sum(received) from upload where repo = repo.id), 0),
  tags = (select count(*) from tag where repo = repo.id);

-- How much lies below a prefix that has a quota: the sum over the repositories whose names are at most counted_to (by
-- bytes), which moves on in steps; null once all are counted. From then on the triggers keep it. '*' is everything.
create table quota (
  prefix text primary key,
  bytes integer not null,
  tags integer not null,
  repositories integer not null,
  counted_to text
) strict, without rowid;

create trigger blob_shown after insert on repo_blob begin
  update repo set bytes = bytes + (select size from blob where digest = new.digest) where id = new.repo;
end;

create trigger blob_hidden before delete on repo_blob begin
  update repo set bytes = bytes - coalesce((select size from blob where digest = old.digest), 0) where id = old.repo;
end;

create trigger manifest_put after insert on manifest begin
  update repo set bytes = bytes + new.size where id = new.repo;
end;

create trigger manifest_removed after delete on manifest begin
  update repo set bytes = bytes - old.size where id = old.repo;
end;

create trigger signature_put after insert on signature begin
  update repo set bytes = bytes + length(new.content) where id = new.repo;
end;

create trigger signature_removed after delete on signature begin
  update repo set bytes = bytes - length(old.content) where id = old.repo;
end;

create trigger upload_received after update of received on upload when new.received <> old.received begin
  update repo set bytes = bytes + new.received - old.received where id = new.repo;
end;

create trigger upload_ended after delete on upload when old.received > 0 begin
  update repo set bytes = bytes - old.received where id = old.repo;
end;

create trigger tag_put after insert on tag begin
  update repo set tags = tags + 1 where id = new.repo;
end;

create trigger tag_removed after delete on tag begin
  update repo set tags = tags - 1 where id = old.repo;
end;

create trigger repo_begun after insert on repo when exists (select 1 from quota) begin
  update quota set repositories = repositories + 1
  where (counted_to is null or new.name <= counted_to)
    and (prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/');
end;

create trigger repo_forgotten after delete on repo when exists (select 1 from quota) begin
  update quota set repositories = repositories - 1, bytes = bytes - old.bytes, tags = tags - old.tags
  where (counted_to is null or old.name <= counted_to)
    and (prefix = '*' or old.name = prefix or substr(old.name, 1, length(prefix) + 1) = prefix || '/');
end;

create trigger repo_used after update of bytes, tags on repo when exists (select 1 from quota) begin
  update quota set bytes = bytes + new.bytes - old.bytes, tags = tags + new.tags - old.tags
  where (counted_to is null or new.name <= counted_to)
    and (prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/');
end;
