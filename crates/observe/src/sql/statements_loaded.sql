SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 AS now_us,
       (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) AS login,
       max(s.setting) FILTER (WHERE s.name = 'pg_stat_statements.max')::int8 AS max,
       max(s.setting) FILTER (WHERE s.name = 'pg_stat_statements.track') AS track,
       max(s.setting) FILTER (WHERE s.name = 'compute_query_id') AS compute_query_id
  FROM pg_catalog.pg_settings s
 WHERE s.name IN ('pg_stat_statements.max', 'pg_stat_statements.track', 'compute_query_id')
