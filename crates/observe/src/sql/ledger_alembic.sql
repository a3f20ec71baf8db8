SELECT version_num::text AS version, NULL::text AS checksum, NULL::int8 AS at, 'applied'::text AS state, pg_catalog.count(*) OVER () AS total
  FROM {table} ORDER BY 1 LIMIT 500
