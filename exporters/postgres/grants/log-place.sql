-- Only for PostgreSQL 13 to 15, and only if wanted: lets the role ask which log file the server writes at present, as
-- members of pg_monitor may from PostgreSQL 16 on. Without it the newest file of log_directory is read.
-- Run it in the exporter's own database (`database`, postgres unless set otherwise):
--
--   sudo -u postgres psql -X -v ON_ERROR_STOP=1 -d postgres < log-place.sql
--
-- To read the file is a matter of the file system: see "The server's log" in the README.
GRANT EXECUTE ON FUNCTION pg_catalog.pg_current_logfile() TO sage;
