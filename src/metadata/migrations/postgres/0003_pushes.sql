-- When manifests were pushed, for lists: the last push of a repository is one row of the index.
create index manifest_pushed on manifest (repo, pushed_at, id);
