SELECT a.pid,
       (extract(epoch FROM a.backend_start) * 1000000)::int8 AS backend_start,
       (extract(epoch FROM a.xact_start) * 1000000)::int8 AS xact_start,
       (extract(epoch FROM a.query_start) * 1000000)::int8 AS query_start,
       (extract(epoch FROM a.state_change) * 1000000)::int8 AS state_change,
       COALESCE((extract(epoch FROM pg_catalog.clock_timestamp()
          - CASE WHEN a.state = 'active' THEN a.query_start ELSE a.state_change END) * 1000000)::int8, 0) AS age_us,
       a.state, a.usename::text AS usename, a.datname::text AS datname, a.application_name, a.backend_type,
       CASE WHEN a.client_addr IS NOT NULL THEN pg_catalog.host(a.client_addr) || ':' || a.client_port END AS client,
       COALESCE(r.rolsuper, false) AS superuser, a.wait_event, pg_catalog.left(a.query, 2000) AS query,
       (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) AS system_identifier
  FROM pg_catalog.pg_stat_activity a
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
 WHERE a.pid = ANY($1) AND a.backend_start IS NOT NULL
 ORDER BY a.pid
