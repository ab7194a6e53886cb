-- Takes the role away again. Stop the exporter first: a role that is logged in cannot be dropped cleanly.
--
--   sudo -u postgres psql -X -v ON_ERROR_STOP=1 -d postgres < remove.sql
--
-- DROP OWNED takes back what was granted in this database (log-place.sql); it drops no data, since the role owns none.
DROP OWNED BY sage;
DROP ROLE sage;
