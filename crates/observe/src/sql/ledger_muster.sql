SELECT version::text AS version, checksum::text AS checksum, (extract(epoch FROM applied_at) * 1000000)::int8 AS at,
       CASE WHEN dirty THEN 'unfinished' ELSE 'applied' END AS state, pg_catalog.count(*) OVER () AS total
  FROM {table} ORDER BY version DESC LIMIT 500
