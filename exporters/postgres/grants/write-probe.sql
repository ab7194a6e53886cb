-- Only for the write probe (`write_interval` of a module): one table with one row that the exporter changes and commits
-- each time, as users' work is. For PostgreSQL 13 to 18, on the primary, in the exporter's own database (`database`,
-- postgres unless set otherwise); standbys get it by replication and are never written to:
--
--   sage-postgres-exporter grants --write-probe | sudo -u postgres psql -X -v ON_ERROR_STOP=1 -d postgres
--
-- It may be run again. To take it away: DROP SCHEMA sage CASCADE;
BEGIN;
CREATE SCHEMA IF NOT EXISTS sage;
REVOKE ALL ON SCHEMA sage FROM PUBLIC;
CREATE TABLE IF NOT EXISTS sage.write_probe (
    id integer PRIMARY KEY CHECK (id = 1),
    written timestamptz NOT NULL
) WITH (fillfactor = 50);
INSERT INTO sage.write_probe VALUES (1, now()) ON CONFLICT DO NOTHING;

-- To find the row and to change its time, and nothing else: no INSERT, no DELETE, no other table.
GRANT USAGE ON SCHEMA sage TO sage;
GRANT SELECT (id), UPDATE (written) ON sage.write_probe TO sage;

-- The role was made read-only for good measure; now it must see whether the server takes writes. All other sessions of
-- the exporter go on making themselves read-only.
ALTER ROLE sage RESET default_transaction_read_only;
COMMIT;
