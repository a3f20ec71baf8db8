SELECT pg_catalog.row_to_json(d)::text AS row
  FROM (SELECT * FROM pg_catalog.pg_stat_database ORDER BY datname NULLS FIRST LIMIT 500) d
