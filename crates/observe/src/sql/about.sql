SELECT pg_catalog.pg_is_in_recovery() AS in_recovery, pg_catalog.current_setting('block_size')::int8 AS block,
       pg_catalog.current_setting('autovacuum')::bool AND pg_catalog.current_setting('track_counts')::bool AS autovacuum,
       pg_catalog.current_setting('autovacuum_analyze_threshold')::float8 AS analyze_threshold,
       pg_catalog.current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_scale,
       -- After a crash all counters begin anew. Until 14 the database says so, from 15 on only what is counted for the server.
       (extract(epoch FROM GREATEST(d.stats_reset, a.stats_reset)) * 1000000)::int8 AS counted_since,
       (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_progress_create_index p
         WHERE p.datid = d.datid AND p.relid IS NULL) AS hidden_builds
  FROM pg_catalog.pg_stat_database d CROSS JOIN pg_catalog.pg_stat_archiver a
 WHERE d.datname = pg_catalog.current_database()
