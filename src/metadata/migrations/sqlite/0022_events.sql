-- Events of changes, written in the transactions that make them, until every endpoint has them and readers had their time. The
-- newest row always stays, so that no number is given twice.
create table event (
  -- in the order of the commits
  seq integer primary key,
  at integer not null,
  -- of the payload
  bytes integer not null,
  -- the event in JSON
  payload text not null
) strict;

-- How far each endpoint is.
create table event_endpoint (
  name text primary key,
  -- of the last event that was delivered, became a dead letter or was dropped
  seq integer not null
) strict, without rowid;

-- Events that an endpoint did not take.
create table dead_event (
  id integer primary key,
  endpoint text not null,
  seq integer not null,
  died_at integer not null,
  attempts integer not null,
  reason text not null,
  -- 1 when an operator wants it to be sent again
  due integer not null default 0,
  payload text not null
) strict;
create index dead_event_endpoint on dead_event (endpoint, id);
create index dead_event_due on dead_event (endpoint, id) where due = 1;

-- The audit: what was changed, by whom, from where and by which rule. What operators change by commands is here until a server has
-- written it to the log, and as long as the others where the audit table is on.
create table audit (
  id integer primary key,
  at integer not null,
  who text not null,
  -- push, mount, delete, sign, or operate for a command
  action text not null,
  object text,
  repository text,
  digest text,
  -- JSON
  tags text,
  command text,
  rule text not null,
  address text,
  user_agent text,
  request text,
  -- 0 until it is in the log
  logged integer not null default 1
) strict;
create index audit_unlogged on audit (id) where logged = 0;

insert into audit (at, who, action, command, rule, logged)
select at, who, 'operate', command, 'who may write the data folder', 0 from operation order by id;
drop table operation;
