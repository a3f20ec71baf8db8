SELECT a.pid, a.backend_type = 'autovacuum worker' AS automatic, a.datname::text AS database, v.relid AS relation,
       pg_catalog.textsend(a.query) LIKE 'autovacuum:%(to prevent wraparound)'::bytea AS wraparound, pg_catalog.substr(pg_catalog.textsend(a.query), 1, 2000) AS query,
       (extract(epoch FROM a.query_start) * 1000000)::int8 AS since, v.phase, v.heap_blks_total AS pages,
       v.heap_blks_scanned AS scanned, v.index_vacuum_count AS index_passes
  FROM pg_catalog.pg_stat_activity a
  LEFT JOIN pg_catalog.pg_stat_progress_vacuum v ON v.pid = a.pid
 WHERE a.backend_type = 'autovacuum worker' OR v.pid IS NOT NULL
 ORDER BY a.pid
