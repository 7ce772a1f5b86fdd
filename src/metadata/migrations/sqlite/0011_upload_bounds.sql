-- Bounds on unfinished uploads: for how many bytes each counts in quotas, and who began it.

-- At least what was received; more while a request has reserved room for what it is about to bring.
alter table upload add column counted integer not null default 0;
update upload set counted = received;

-- A user, a robot, or the address of an anonymous client; null when nobody is bounded.
alter table upload add column begun_by text;
create index upload_begun_by on upload (begun_by) where begun_by is not null;

drop trigger upload_received;
drop trigger upload_ended;

create trigger upload_counted after update of counted on upload when new.counted <> old.counted begin
  update repo set bytes = bytes + new.counted - old.counted where id = new.repo;
end;

create trigger upload_ended after delete on upload when old.counted > 0 begin
  update repo set bytes = bytes - old.counted where id = old.repo;
end;
