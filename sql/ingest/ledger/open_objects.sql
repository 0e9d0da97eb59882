-- Records which objects a worker opens, in one statement, before it reads them. Each opening is an attempt.
-- For an object in `closed`, the earlier attempt is taken back. The claim lasts at least `seconds` from now.
-- Parameters: worker; opened and closed, arrays of IDs; seconds.
UPDATE ingest.objects SET
    attempts = attempts + (object_id = ANY (%(opened)s::bigint[]))::integer - (opened_with IS NOT NULL)::integer,
    opened_with = CASE WHEN object_id = ANY (%(opened)s::bigint[]) THEN cardinality(%(opened)s::bigint[]) END,
    claim_expires_at = greatest(claim_expires_at, now() + make_interval(secs => %(seconds)s))
WHERE object_id = ANY (%(opened)s::bigint[] || %(closed)s::bigint[]) AND state = 'claimed' AND claimed_by = %(worker)s
  AND (opened_with IS NOT NULL OR object_id = ANY (%(opened)s::bigint[]))
