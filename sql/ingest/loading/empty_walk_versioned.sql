-- Empties what the walk before left.
TRUNCATE {walked}, {marks}
