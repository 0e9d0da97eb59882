-- Returns rejects as they were sent. Includes rejects that were superseded by another row of their object after they were locked:
-- with today's mapping, their position can be greater.
-- Parameter: reject_ids, of one object.
SELECT ordinal, line, raw FROM ingest.rejects WHERE reject_id = ANY (%(reject_ids)s) ORDER BY ordinal
