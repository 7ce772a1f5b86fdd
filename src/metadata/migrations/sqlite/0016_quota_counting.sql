-- While what lies below the prefix of a new quota is being counted, a part of its limit may be added: how much was added there
-- since the counting began, less what went, whatever is counted yet. It stands still once all is counted.
alter table quota add column added_bytes integer not null default 0;
alter table quota add column added_tags integer not null default 0;
alter table quota add column added_repositories integer not null default 0;

drop trigger repo_begun;
drop trigger repo_forgotten;
drop trigger repo_used;

create trigger repo_begun after insert on repo when exists (select 1 from quota) begin
  update quota set
    repositories = repositories + iif(counted_to is null or new.name <= counted_to, 1, 0),
    added_repositories = added_repositories + iif(counted_to is null, 0, 1)
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;

create trigger repo_forgotten after delete on repo when exists (select 1 from quota) begin
  update quota set
    repositories = repositories - iif(counted_to is null or old.name <= counted_to, 1, 0),
    bytes = bytes - iif(counted_to is null or old.name <= counted_to, old.bytes, 0),
    tags = tags - iif(counted_to is null or old.name <= counted_to, old.tags, 0),
    added_repositories = added_repositories - iif(counted_to is null, 0, 1),
    added_bytes = added_bytes - iif(counted_to is null, 0, old.bytes),
    added_tags = added_tags - iif(counted_to is null, 0, old.tags)
  where prefix = '*' or old.name = prefix or substr(old.name, 1, length(prefix) + 1) = prefix || '/';
end;

create trigger repo_used after update of bytes, tags on repo when exists (select 1 from quota) begin
  update quota set
    bytes = bytes + iif(counted_to is null or new.name <= counted_to, new.bytes - old.bytes, 0),
    tags = tags + iif(counted_to is null or new.name <= counted_to, new.tags - old.tags, 0),
    added_bytes = added_bytes + iif(counted_to is null, 0, new.bytes - old.bytes),
    added_tags = added_tags + iif(counted_to is null, 0, new.tags - old.tags)
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;
