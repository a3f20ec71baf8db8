SELECT c.oid, n.nspname::text AS schema, c.relname::text AS name, c.relpages::int8 AS pages,
       greatest(c.reltuples::int8, pg_catalog.pg_stat_get_live_tuples(c.oid)) AS rows,
       pg_catalog.pg_stat_get_numscans(c.oid) AS scans, pg_catalog.pg_stat_get_tuples_returned(c.oid) AS scanned
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND greatest(c.reltuples::int8, pg_catalog.pg_stat_get_live_tuples(c.oid)) >= $1
 ORDER BY scanned DESC, c.oid LIMIT $2
