-- Requeues finished objects. Objects that wait or are being loaded stay as they are. Unroutable objects need reroute.sql first.
-- A loaded object keeps its data if the replay fails. Rejects of a failed object stay, for the load to resolve. A suspect stays a
-- suspect.
-- Parameter: object_ids.
UPDATE ingest.objects SET
    state = 'discovered', attempts = 0, opened_with = NULL, replayed = replayed OR state <> 'superseded',
    loaded_as = CASE WHEN state IN ('loaded', 'loaded_with_rejects') THEN state END,
    claimed_by = NULL, claim_expires_at = NULL
WHERE object_id = ANY (%(object_ids)s) AND state NOT IN ('discovered', 'claimed', 'unroutable')
