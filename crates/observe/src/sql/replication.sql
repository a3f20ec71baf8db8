SELECT CASE WHEN NOT r THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')::int8 END AS current,
       CASE WHEN r THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), '0/0')::int8 END AS received,
       CASE WHEN r THEN pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')::int8 END AS replayed,
       CASE WHEN r THEN (extract(epoch FROM pg_catalog.pg_last_xact_replay_timestamp()) * 1000000)::int8 END AS last_commit,
       CASE WHEN r THEN CASE WHEN pg_catalog.pg_is_wal_replay_paused() THEN 'paused' ELSE 'not paused' END END AS replay_state,
       CASE WHEN m THEN pg_catalog.current_setting('primary_conninfo', true) END AS upstream,
       pg_catalog.current_setting('primary_slot_name', true) AS upstream_slot,
       (extract(epoch FROM pg_catalog.current_setting('recovery_min_apply_delay')::interval) * 1000)::int8 AS apply_delay_ms,
       pg_catalog.current_setting('synchronous_standby_names') AS synchronous_names,
       CASE WHEN pg_catalog.current_setting('max_slot_wal_keep_size') = '-1' THEN -1
            ELSE pg_catalog.pg_size_bytes(pg_catalog.current_setting('max_slot_wal_keep_size')) / 1048576 END AS slot_limit_mb
  FROM (SELECT pg_catalog.pg_is_in_recovery() AS r,
               pg_catalog.pg_has_role(current_user, 'pg_read_all_settings', 'USAGE') AS m) x
