-- Invoiced amounts of each customer, by month and currency.
SELECT i.customer_canonical_id,
       e.name AS customer,
       date_trunc('month', i.issue_date)::date AS month,
       i.currency,
       count(*) AS invoices,
       sum(i.amount) AS amount
FROM analytics.invoices i
LEFT JOIN analytics.entities e ON e.canonical_id = i.customer_canonical_id
WHERE i.issue_date >= %(since)s::date
GROUP BY i.customer_canonical_id, e.name, date_trunc('month', i.issue_date), i.currency
ORDER BY amount DESC NULLS LAST, i.customer_canonical_id, month, i.currency
LIMIT %(top_n)s
