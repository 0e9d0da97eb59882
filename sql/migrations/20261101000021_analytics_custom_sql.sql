-- migrate:up

-- Trigram similarity for matching names across systems, apart from the views and from public, which nobody may enter.
CREATE SCHEMA extensions;
CREATE EXTENSION pg_trgm SCHEMA extensions;
GRANT USAGE ON SCHEMA extensions TO pipeline_reader;

-- True, or an error: what a person's own query may send to the client in one row. Without it, jsonb_agg over a large table is one
-- value of hundreds of megabytes, which the client has to hold before it can see how large it is.
CREATE FUNCTION analytics.row_fits(bytes bigint, most bigint) RETURNS boolean
LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
BEGIN
    IF bytes > most THEN
        RAISE EXCEPTION 'row too large' USING ERRCODE = 'program_limit_exceeded';
    END IF;
    RETURN true;
END
$$;
GRANT EXECUTE ON FUNCTION analytics.row_fits(bigint, bigint) TO pipeline_reader;

-- migrate:down
