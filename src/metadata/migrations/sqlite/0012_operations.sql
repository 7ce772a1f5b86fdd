-- What operators changed by commands, until a server has written it to the audit.
create table operation (
  id integer primary key,
  at integer not null,
  who text not null,
  command text not null
) strict;
