SELECT (CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
            ELSE pg_catalog.pg_current_wal_lsn() END - '0/0'::pg_lsn)::int8 AS position,
       pg_catalog.pg_is_in_recovery() AS standby
