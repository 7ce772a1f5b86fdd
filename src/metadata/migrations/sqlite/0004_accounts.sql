-- Users and robots.

-- Who logs in with a password. The generation changes with everything that is changed: what was issued for an older one
-- is worth nothing.
create table account (
  name text primary key,
  password_hash text not null,
  member_of text not null,
  generation text not null,
  created_at integer not null,
  changed_at integer not null
) strict, without rowid;

-- What robots log in with. Nothing in a row ever changes: a token is made and revoked.
create table robot_token (
  id text primary key,
  robot text not null,
  secret_hash blob not null,
  grants text not null,
  created_at integer not null,
  expires_at integer
) strict, without rowid;
create index robot_token_robot on robot_token (robot);
