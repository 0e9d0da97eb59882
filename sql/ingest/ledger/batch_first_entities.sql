-- Returns a few of the entities that a batch has loaded, in their current version.
-- Parameter: canonical_ids.
SELECT canonical_id, name, entity_type, industry, country, revenue, employees, version, source_updated_at
FROM canonical.entities
WHERE canonical_id = ANY (%(canonical_ids)s)
ORDER BY array_position(%(canonical_ids)s, canonical_id)
