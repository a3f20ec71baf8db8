SELECT a.pid,
       (extract(epoch FROM a.backend_start) * 1000000)::int8 AS backend_start,
       (extract(epoch FROM a.xact_start) * 1000000)::int8 AS xact_start,
       (extract(epoch FROM a.query_start) * 1000000)::int8 AS query_start,
       (extract(epoch FROM a.state_change) * 1000000)::int8 AS state_change,
       a.state, a.usename::text AS usename, a.datname::text AS datname, a.application_name,
       CASE WHEN a.client_addr IS NOT NULL THEN pg_catalog.host(a.client_addr) || ':' || a.client_port END AS client,
       a.backend_type, a.wait_event_type, a.wait_event, pg_catalog.substr(pg_catalog.textsend(a.query), 1, 2000) AS query,
       a.backend_xid IS NOT NULL AS has_xid,
       COALESCE(r.rolsuper, false) AS superuser,
       CASE WHEN a.wait_event_type = 'Lock' THEN pg_catalog.pg_blocking_pids(a.pid) END AS blocked_by,
       pg_catalog.current_setting('max_connections')::int4 AS max_connections,
       pg_catalog.current_setting('superuser_reserved_connections')::int4
         + COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::int4 AS reserved
  FROM pg_catalog.pg_stat_activity a
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
 ORDER BY a.pid
