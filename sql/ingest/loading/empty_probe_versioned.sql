-- Empties what the probe of the micro-batch before left.
TRUNCATE {probe_keys}, {known}
