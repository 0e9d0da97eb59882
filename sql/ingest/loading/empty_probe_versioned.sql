-- Empties what the probe of the micro-batch before left.
TRUNCATE {peeked}, {known}
