-- When work on the whole registry was last done to its end: a backup, a scrub, a collection, a check.
create table last_run (
  job text primary key,
  at integer not null
) strict, without rowid;
