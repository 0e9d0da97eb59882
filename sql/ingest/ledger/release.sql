-- Releases objects that a worker holds and has not finished. An interrupted load does not count as an attempt.
-- Parameters: worker; object_ids, or null for all.
UPDATE ingest.objects SET
    state = 'discovered', attempts = attempts - (opened_with IS NOT NULL)::integer, opened_with = NULL,
    claimed_by = NULL, claim_expires_at = NULL
WHERE state = 'claimed' AND claimed_by = %(worker)s
  AND (%(object_ids)s::bigint[] IS NULL OR object_id = ANY (%(object_ids)s))
