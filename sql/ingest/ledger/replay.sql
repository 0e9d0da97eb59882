-- Puts objects back in line, whatever became of them; those of unknown prefixes are routed anew by the caller first.
-- What is being loaded at this moment is left to its worker. What has failed may have left rejects, to be resolved.
-- What is loaded stays so if it is refused now. Parameter: object_ids.
UPDATE ingest.objects SET
    state = 'discovered', attempts = 0, replayed = replayed OR state <> 'superseded',
    loaded_as = CASE WHEN state IN ('loaded', 'loaded_with_rejects') THEN state END,
    claimed_by = NULL, claim_expires_at = NULL
WHERE object_id = ANY (%(object_ids)s) AND state NOT IN ('discovered', 'claimed', 'unroutable')
