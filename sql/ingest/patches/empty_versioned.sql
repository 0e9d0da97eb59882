-- Empties the staging tables of the micro-batch before.
TRUNCATE {sent}, {touched}
