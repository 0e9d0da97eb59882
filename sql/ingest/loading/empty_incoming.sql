-- Empties the staging table of the micro-batch before.
TRUNCATE {incoming}
