-- Makes the partitions of this month and the next ones; says how many were new. Parameter: months.
SELECT canonical.ensure_month_partitions(array_agg((date_trunc('month', now()) + make_interval(months => n))::date))
FROM generate_series(0, %(months)s::integer) AS n
