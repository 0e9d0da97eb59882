-- What a worker holds and has not tried goes back in line. Parameter: worker.
UPDATE ingest.objects SET state = 'discovered', attempts = attempts - 1, claimed_by = NULL, claim_expires_at = NULL
WHERE state = 'claimed' AND claimed_by = %(worker)s
