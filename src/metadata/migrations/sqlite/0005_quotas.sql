-- How much lies below a prefix that has a quota. The first write below a prefix that is asked about counts what is there
-- and adds the row; from then on the triggers keep it. '*' is everything.
create table quota (
  prefix text primary key,
  -- of the blobs and manifests of each repository: what two of them show counts twice
  bytes integer not null,
  tags integer not null,
  repositories integer not null
) strict, without rowid;

create trigger repo_begun after insert on repo when exists (select 1 from quota) begin
  update quota set repositories = repositories + 1
  where prefix = '*' or new.name = prefix or substr(new.name, 1, length(prefix) + 1) = prefix || '/';
end;

create trigger repo_forgotten after delete on repo when exists (select 1 from quota) begin
  update quota set repositories = repositories - 1
  where prefix = '*' or old.name = prefix or substr(old.name, 1, length(prefix) + 1) = prefix || '/';
end;

create trigger blob_shown after insert on repo_blob when exists (select 1 from quota) begin
  update quota set bytes = bytes + (select size from blob where digest = new.digest)
  where exists (
    select 1 from repo where id = new.repo
    and (prefix = '*' or name = prefix or substr(name, 1, length(prefix) + 1) = prefix || '/'));
end;

create trigger blob_hidden before delete on repo_blob when exists (select 1 from quota) begin
  update quota set bytes = bytes - coalesce((select size from blob where digest = old.digest), 0)
  where exists (
    select 1 from repo where id = old.repo
    and (prefix = '*' or name = prefix or substr(name, 1, length(prefix) + 1) = prefix || '/'));
end;

create trigger manifest_put after insert on manifest when exists (select 1 from quota) begin
  update quota set bytes = bytes + new.size
  where exists (
    select 1 from repo where id = new.repo
    and (prefix = '*' or name = prefix or substr(name, 1, length(prefix) + 1) = prefix || '/'));
end;

create trigger manifest_removed after delete on manifest when exists (select 1 from quota) begin
  update quota set bytes = bytes - old.size
  where exists (
    select 1 from repo where id = old.repo
    and (prefix = '*' or name = prefix or substr(name, 1, length(prefix) + 1) = prefix || '/'));
end;

create trigger tag_put after insert on tag when exists (select 1 from quota) begin
  update quota set tags = tags + 1
  where exists (
    select 1 from repo where id = new.repo
    and (prefix = '*' or name = prefix or substr(name, 1, length(prefix) + 1) = prefix || '/'));
end;

create trigger tag_removed after delete on tag when exists (select 1 from quota) begin
  update quota set tags = tags - 1
  where exists (
    select 1 from repo where id = old.repo
    and (prefix = '*' or name = prefix or substr(name, 1, length(prefix) + 1) = prefix || '/'));
end;
