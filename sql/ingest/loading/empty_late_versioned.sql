-- Deletes late-arriving rows that are in the version history now.
TRUNCATE {late}
