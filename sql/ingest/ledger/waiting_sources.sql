-- The sources that have objects in line or in work. Every tick of every sensor asks this, so it must be cheap.
SELECT DISTINCT source FROM ingest.objects WHERE state IN ('discovered', 'claimed')
