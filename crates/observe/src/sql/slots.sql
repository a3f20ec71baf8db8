SELECT slot_name::text AS slot_name, slot_type, active, active_pid, temporary, wal_status,
       pg_catalog.pg_wal_lsn_diff(restart_lsn, '0/0')::int8 AS restart
  FROM pg_catalog.pg_replication_slots ORDER BY slot_name
