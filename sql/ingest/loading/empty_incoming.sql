-- Deletes the staged rows of the previous micro-batch.
TRUNCATE {incoming}
