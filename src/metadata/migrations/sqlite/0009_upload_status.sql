-- How often a client was told where the upload stands: goes up with each answer. A stream that was being received then, and
-- breaks, adds nothing.
alter table upload add column told integer not null default 0;
