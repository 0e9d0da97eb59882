-- table: canonical.entity_relationships
-- severity: warn
-- Relationships that have waited for one of their entities for more than a day: they do not count until it comes.
SELECT r.source, r.parent_canonical_id, r.child_canonical_id, r.relationship_type,
       p.entity_id IS NULL AS parent_is_missing, c.entity_id IS NULL AS child_is_missing, r.created_at
FROM canonical.entity_relationships r
LEFT JOIN canonical.entities p ON p.canonical_id = r.parent_canonical_id
LEFT JOIN canonical.entities c ON c.canonical_id = r.child_canonical_id
WHERE NOT r.deleted AND (p.entity_id IS NULL OR c.entity_id IS NULL) AND r.created_at < now() - interval '1 day'
ORDER BY r.created_at
