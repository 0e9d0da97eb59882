-- Deletes the probe keys and findings of the previous micro-batch.
TRUNCATE {probe_keys}, {known}
