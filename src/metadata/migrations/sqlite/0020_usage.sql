-- Usage of repositories, kept by triggers.

create trigger blob_shown after insert on repo_blob begin
  update repo set bytes = bytes + (select size from blob where id = new.blob) where id = new.repo;
end;

create trigger blob_hidden before delete on repo_blob begin
  update repo set bytes = bytes - coalesce((select size from blob where id = old.blob), 0) where id = old.repo;
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

create trigger upload_counted after update of counted on upload when new.counted <> old.counted begin
  update repo set bytes = bytes + new.counted - old.counted where id = new.repo;
end;

create trigger upload_ended after delete on upload when old.counted > 0 begin
  update repo set bytes = bytes - old.counted where id = old.repo;
end;

create trigger tag_put after insert on tag begin
  update repo set tags = tags + 1 where id = new.repo;
  insert into tag_count (manifest, tags) values (new.manifest, 1)
    on conflict (manifest) do update set tags = tags + 1;
end;

create trigger tag_moved after update of manifest on tag when new.manifest <> old.manifest begin
  update tag_count set tags = tags - 1 where manifest = old.manifest;
  delete from tag_count where manifest = old.manifest and tags <= 0;
  insert into tag_count (manifest, tags) values (new.manifest, 1)
    on conflict (manifest) do update set tags = tags + 1;
end;

-- The tags of a deleted manifest were taken from the counts with it.
create trigger tag_removed after delete on tag when exists (select 1 from manifest where id = old.manifest) begin
  update repo set tags = tags - 1 where id = old.repo;
  update tag_count set tags = tags - 1 where manifest = old.manifest;
  delete from tag_count where manifest = old.manifest and tags <= 0;
end;

-- The database refuses to delete a manifest that a tag points at.
create trigger manifest_tagged before delete on manifest
when exists (select 1 from tag_count where manifest = old.id) begin
  select raise(abort, 'FOREIGN KEY constraint failed: a tag points at the manifest');
end;

-- Usage below the prefixes of quotas, kept by triggers.

create trigger repo_begun after insert on repo when exists (select 1 from quota) begin
  update quota set
    repositories = repositories + iif(counted_to is null or new.name <= counted_to, 1, 0),
    added_repositories = added_repositories + iif(counted_to is null, 0, 1)
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;

create trigger repo_used after update of bytes, tags on repo when new.name < '~' and exists (select 1 from quota) begin
  update quota set
    bytes = bytes + iif(counted_to is null or new.name <= counted_to, new.bytes - old.bytes, 0),
    tags = tags + iif(counted_to is null or new.name <= counted_to, new.tags - old.tags, 0),
    added_bytes = added_bytes + iif(counted_to is null, 0, new.bytes - old.bytes),
    added_tags = added_tags + iif(counted_to is null, 0, new.tags - old.tags)
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;

-- A deleted repository counts no more from its renaming on.
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
