SELECT pg_catalog.concat(app, '.', name) AS version, NULL::text AS checksum, (extract(epoch FROM applied) * 1000000)::int8 AS at,
       'applied'::text AS state, pg_catalog.count(*) OVER () AS total
  FROM {table} ORDER BY id DESC LIMIT 500
