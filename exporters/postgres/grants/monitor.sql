-- The role that sage-postgres-exporter logs in as. For PostgreSQL 13 to 18; roles belong to the whole instance, so run
-- it once, on the primary:
--
--   sudo -u postgres psql -X -v ON_ERROR_STOP=1 < monitor.sql
--   sudo -u postgres psql -X -c '\password sage'      -- asks; the password stands in no file, history or log
--
-- A login over the Unix socket with peer authentication (system user sage) needs no password at all.

-- Two connections are all the exporter ever holds: one kept between scrapes, one for the fresh login and the walk over
-- the databases. Its command `check`, run beside it by the one on call, needs as many; with less room it would be turned
-- away and call a healthy server down. A second exporter with this role needs two more. The cancel request of the
-- protocol does not count.
CREATE ROLE sage LOGIN CONNECTION LIMIT 4 NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION;

-- Contains pg_read_all_stats (sessions and queries of others, sizes of all databases) and pg_read_all_settings (place
-- of the log, primary_conninfo). It reads no table and writes nothing.
GRANT pg_monitor TO sage;

-- The exporter makes its own sessions read-only; this says the same where it cannot be forgotten.
ALTER ROLE sage SET default_transaction_read_only = on;
