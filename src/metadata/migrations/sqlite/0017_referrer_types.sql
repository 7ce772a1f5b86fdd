-- Referrers of one type are found without reading those of others. A manifest without a type is found by ''.
create index manifest_referrer on manifest (repo, subject, coalesce(artifact_type, ''), digest) where subject is not null;
