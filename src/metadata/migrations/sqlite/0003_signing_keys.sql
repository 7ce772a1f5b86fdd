-- Keys that tokens are signed with. The newest signs; those before it stay until what they signed has expired.
create table signing_key (
  -- the thumbprint of the public key (RFC 7638)
  id text primary key,
  -- as JWK, the private part included
  jwk text not null,
  created_at integer not null
) strict, without rowid;
