SELECT migration_name::text AS version, checksum::text AS checksum, (extract(epoch FROM COALESCE(finished_at, started_at)) * 1000000)::int8 AS at,
       CASE WHEN finished_at IS NOT NULL THEN 'applied'
            WHEN COALESCE(logs, '') <> '' THEN 'failed' ELSE 'unfinished' END AS state,
       pg_catalog.count(*) OVER () AS total
  FROM {table} WHERE rolled_back_at IS NULL ORDER BY started_at DESC, migration_name DESC LIMIT 500
