-- table: canonical.invoices
-- severity: warn
-- Invoices to customers that no file contains.
SELECT i.canonical_id, i.customer_canonical_id, i.issue_date, i.amount
FROM canonical.invoices i
LEFT JOIN canonical.entities e ON e.canonical_id = i.customer_canonical_id
WHERE NOT i.deleted AND i.customer_canonical_id IS NOT NULL AND e.entity_id IS NULL
ORDER BY i.canonical_id
