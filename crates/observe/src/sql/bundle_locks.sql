SELECT pg_catalog.row_to_json(s)::text AS row FROM (
  SELECT l.pid, l.locktype, l.mode, d.datname AS database, n.nspname AS schema, c.relname AS relation, l.relation AS relation_oid, l.page,
         l.tuple, l.virtualxid, l.transactionid::text AS transactionid, l.classid, l.objid, l.fastpath,
         pg_catalog.pg_blocking_pids(l.pid) AS blocked_by, a.usename, a.application_name, a.state,
         pg_catalog.round(extract(epoch FROM pg_catalog.clock_timestamp() - a.state_change)::numeric, 3) AS state_age_s,
         pg_catalog.left(a.query, 2000) AS query
    FROM pg_catalog.pg_locks l
    LEFT JOIN pg_catalog.pg_database d ON d.oid = l.database
    LEFT JOIN pg_catalog.pg_class c ON c.oid = l.relation AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
   WHERE NOT l.granted
   ORDER BY a.state_change NULLS LAST, l.pid
   LIMIT 500) s
