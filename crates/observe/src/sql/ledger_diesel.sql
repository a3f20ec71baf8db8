SELECT version::text AS version, NULL::text AS checksum, (extract(epoch FROM run_on::timestamptz) * 1000000)::int8 AS at, 'applied'::text AS state,
       pg_catalog.count(*) OVER () AS total
  FROM {table} ORDER BY version DESC LIMIT 500
