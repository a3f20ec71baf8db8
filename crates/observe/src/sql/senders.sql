SELECT pid, application_name, pg_catalog.host(client_addr) AS client, state, sync_state,
       pg_catalog.pg_wal_lsn_diff(sent_lsn, '0/0')::int8 AS sent,
       pg_catalog.pg_wal_lsn_diff(flush_lsn, '0/0')::int8 AS flushed,
       pg_catalog.pg_wal_lsn_diff(replay_lsn, '0/0')::int8 AS replayed,
       (extract(epoch FROM reply_time) * 1000000)::int8 AS reply_time,
       (extract(epoch FROM replay_lag) * 1000)::int8 AS replay_lag_ms
  FROM pg_catalog.pg_stat_replication ORDER BY pid
