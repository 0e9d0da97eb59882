-- Returns the sources with objects that wait or are being loaded. Runs in each tick of each sensor, so it must be fast.
SELECT DISTINCT source FROM ingest.objects WHERE state IN ('discovered', 'claimed')
