-- Notes which objects a worker opens now, in one statement and before it reads them. Each opening is an attempt.
-- An object that the worker had opened before and opens no longer loses that attempt again.
-- The claim lasts at least as long as the worker may take. Parameters: worker; opened and closed, arrays of ids; seconds.
UPDATE ingest.objects SET
    attempts = attempts + (object_id = ANY (%(opened)s::bigint[]))::integer - (opened_with IS NOT NULL)::integer,
    opened_with = CASE WHEN object_id = ANY (%(opened)s::bigint[]) THEN cardinality(%(opened)s::bigint[]) END,
    claim_expires_at = greatest(claim_expires_at, now() + make_interval(secs => %(seconds)s))
WHERE object_id = ANY (%(opened)s::bigint[] || %(closed)s::bigint[]) AND state = 'claimed' AND claimed_by = %(worker)s
  AND (opened_with IS NOT NULL OR object_id = ANY (%(opened)s::bigint[]))
