-- Makes the missing partitions of the months that staged rows fall in.
SELECT canonical.ensure_month_partitions(array_agg(DISTINCT {partition_by})) FROM {incoming}
