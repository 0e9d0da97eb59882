-- Empties what the late-arriving rows of the micro-batch before left.
TRUNCATE {timeline}
