-- Returns the smallest and the greatest surrogate key.
SELECT coalesce(min({id}), 0), coalesce(max({id}), -1) FROM {table}
