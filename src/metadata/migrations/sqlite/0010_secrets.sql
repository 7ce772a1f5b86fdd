-- What all processes on this database know, and nobody else: made when it is first needed.
create table secret (
  name text primary key,
  value blob not null
) strict, without rowid;
