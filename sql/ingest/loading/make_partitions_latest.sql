-- Creates the missing partitions for the months of the staged rows.
SELECT canonical.ensure_month_partitions(array_agg(DISTINCT {partition_by})) FROM {incoming}
