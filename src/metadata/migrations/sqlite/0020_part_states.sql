-- What a store has to know to continue an upload, and how it recognizes a version of a blob: texts that the store alone reads.
alter table upload add column part_state text;
alter table blob add column fingerprint text;
-- Files: size and time, as the store writes them.
update blob set fingerprint = size || ' ' || printf('%!.17g', mtime) where mtime is not null;
alter table blob drop column mtime;
