-- Reads the CHECK constraints of a table, as PostgreSQL writes them. Parameter: oid.
SELECT conname::text AS name, pg_get_constraintdef(oid) AS definition
FROM pg_constraint WHERE conrelid = %(oid)s::oid AND contype = 'c'
ORDER BY conname
