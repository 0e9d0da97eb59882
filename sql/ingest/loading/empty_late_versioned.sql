-- Empties the late-arriving rows that have their place now.
TRUNCATE {late}
