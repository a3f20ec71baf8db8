SELECT s.slot_name::text AS slot_name, s.slot_type, s.active, s.active_pid, s.temporary, s.wal_status,
       pg_catalog.pg_wal_lsn_diff(s.restart_lsn, '0/0')::int8 AS restart,
       pg_catalog.pg_wal_lsn_diff(s.confirmed_flush_lsn, '0/0')::int8 AS confirmed,
       s.safe_wal_size, s.database::text AS database, s.plugin::text AS plugin,
       (extract(epoch FROM (j.row ->> 'inactive_since')::timestamptz) * 1000000)::int8 AS inactive_since,
       COALESCE(j.row ->> 'invalidation_reason',
           CASE WHEN (j.row ->> 'conflicting')::bool THEN 'rows_removed' END) AS invalidation,
       COALESCE((j.row ->> 'synced')::bool, false) AS synced
  FROM pg_catalog.pg_replication_slots s CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(s) AS row OFFSET 0) j ORDER BY s.slot_name
