SELECT version::text AS version, NULL::text AS checksum, NULL::int8 AS at,
       CASE WHEN dirty THEN 'unfinished' ELSE 'applied' END AS state, pg_catalog.count(*) OVER () AS total
  FROM {table} ORDER BY version DESC LIMIT 500
