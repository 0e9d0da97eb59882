-- Names types as the catalogue does: timestamptz is "timestamp with time zone". Parameter: types.
SELECT type, format_type(to_regtype(type), to_regtypemod(type)) FROM unnest(%(types)s::text[]) AS type
