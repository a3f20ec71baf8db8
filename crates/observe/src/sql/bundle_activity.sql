SELECT pg_catalog.row_to_json(s)::text AS row FROM (
  SELECT a.pid, a.usename, a.datname, a.application_name, a.client_addr, a.backend_type, a.state, a.backend_start, a.xact_start,
         a.query_start, a.state_change, pg_catalog.round(extract(epoch FROM pg_catalog.clock_timestamp() - a.query_start)::numeric, 3) AS query_age_s,
         pg_catalog.round(extract(epoch FROM pg_catalog.clock_timestamp() - a.xact_start)::numeric, 3) AS xact_age_s,
         a.wait_event_type, a.wait_event, a.backend_xid::text AS backend_xid, a.backend_xmin::text AS backend_xmin,
         pg_catalog.left(a.query, 2000) AS query, pg_catalog.count(*) OVER () AS sessions
    FROM pg_catalog.pg_stat_activity a
   WHERE a.pid <> pg_catalog.pg_backend_pid()
   ORDER BY (a.backend_type = 'client backend') DESC NULLS LAST, (a.state = 'idle'), a.query_start NULLS LAST, a.pid
   LIMIT 100) s
