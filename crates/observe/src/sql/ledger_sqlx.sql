SELECT version::text AS version, pg_catalog.encode(checksum, 'hex') AS checksum, (extract(epoch FROM installed_on) * 1000000)::int8 AS at,
       CASE WHEN success THEN 'applied' ELSE 'failed' END AS state, pg_catalog.count(*) OVER () AS total
  FROM {table} ORDER BY version DESC LIMIT 500
