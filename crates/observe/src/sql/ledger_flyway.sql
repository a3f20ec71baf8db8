SELECT COALESCE(version::text, script::text) AS version, checksum::text AS checksum,
       (extract(epoch FROM installed_on::timestamptz) * 1000000)::int8 AS at,
       CASE WHEN success THEN 'applied' ELSE 'failed' END AS state, pg_catalog.count(*) OVER () AS total
  FROM {table} ORDER BY installed_rank DESC LIMIT 500
