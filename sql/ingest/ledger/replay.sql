-- Puts objects back in line, whatever became of them. Objects of unknown prefixes are routed first (reroute.sql).
-- An object that is being loaded now is left to its worker. A failed object may have left rejects, to be resolved.
-- A loaded object keeps its data if the replay is refused. An object that ended its process stays a suspect.
-- Parameter: object_ids.
UPDATE ingest.objects SET
    state = 'discovered', attempts = 0, opened_with = NULL, replayed = replayed OR state <> 'superseded',
    loaded_as = CASE WHEN state IN ('loaded', 'loaded_with_rejects') THEN state END,
    claimed_by = NULL, claim_expires_at = NULL
WHERE object_id = ANY (%(object_ids)s) AND state NOT IN ('discovered', 'claimed', 'unroutable')
