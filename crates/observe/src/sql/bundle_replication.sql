SELECT pg_catalog.json_build_object(
         'in_recovery', pg_catalog.pg_is_in_recovery(),
         'replay_paused', CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_is_wal_replay_paused() END,
         'lsn', CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END,
         'received_lsn', pg_catalog.pg_last_wal_receive_lsn(),
         'last_replayed_at', pg_catalog.pg_last_xact_replay_timestamp(),
         'senders', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(s)), '[]'::json) FROM pg_catalog.pg_stat_replication s),
         'slots', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(s)), '[]'::json) FROM pg_catalog.pg_replication_slots s),
         'receiver', (SELECT pg_catalog.to_jsonb(r) - 'conninfo' FROM pg_catalog.pg_stat_wal_receiver r LIMIT 1))::text AS row
