-- Columns that nothing reads.
alter table manifest drop column config_digest;
alter table manifest drop column unref_at;
