SELECT COALESCE(d.datname::text, '') AS database, d.xact_commit AS commits, d.xact_rollback AS rollbacks,
       d.blks_read AS blocks_read, d.blks_hit AS blocks_hit, d.deadlocks, d.conflicts, d.temp_files, d.temp_bytes,
       d.checksum_failures, (extract(epoch FROM d.checksum_last_failure) * 1000000)::int8 AS last_checksum_failure,
       (extract(epoch FROM d.stats_reset) * 1000000)::int8 AS stats_reset,
       (j.row ->> 'sessions')::int8 AS sessions,
       (j.row ->> 'sessions_abandoned')::int8 AS sessions_abandoned,
       (j.row ->> 'sessions_fatal')::int8 AS sessions_fatal,
       (j.row ->> 'sessions_killed')::int8 AS sessions_killed
  FROM pg_catalog.pg_stat_database d CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(d) AS row OFFSET 0) j ORDER BY 1
