-- Deletes the timelines of the previous micro-batch.
TRUNCATE {timeline}
