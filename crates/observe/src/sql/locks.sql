SELECT l.pid, l.locktype, l.mode,
       CASE WHEN l.relation IS NULL THEN NULL ELSE COALESCE(n.nspname || '.' || c.relname, l.relation::text) END AS relation,
       (extract(epoch FROM l.waitstart) * 1000000)::int8 AS since
  FROM pg_catalog.pg_locks l
  LEFT JOIN pg_catalog.pg_database d ON d.oid = l.database
  LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation AND d.datname = pg_catalog.current_database()
  LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE NOT l.granted AND l.pid IS NOT NULL
 ORDER BY l.pid
