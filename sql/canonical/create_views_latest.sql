CREATE VIEW {view} AS
SELECT {identity}, {visible}
FROM {table}
WHERE NOT deleted;
