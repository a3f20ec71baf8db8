SELECT pg_catalog.current_setting('archive_mode') AS archive_mode,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')) AS segment,
       pg_catalog.pg_wal_lsn_diff(CASE WHEN r.recovering
           THEN GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
           ELSE pg_catalog.pg_current_wal_lsn() END, '0/0')::int8 AS position,
       a.archived_count AS archived, a.failed_count AS archive_failed,
       a.last_archived_wal AS last_archived, a.last_failed_wal AS last_failed,
       (extract(epoch FROM a.last_archived_time) * 1000000)::int8 AS last_archived_at,
       (extract(epoch FROM a.last_failed_time) * 1000000)::int8 AS last_failed_at,
       c.num_timed AS timed, c.num_requested AS requested,
       a.stats_reset::text AS archiver_began, c.stats_reset::text AS checkpointer_began
  FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovering) r, pg_catalog.pg_stat_archiver a, pg_catalog.pg_stat_checkpointer c
