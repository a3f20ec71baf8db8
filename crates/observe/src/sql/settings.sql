SELECT s.name, s.pending_restart, s.source IN ('session', 'client', 'user', 'database', 'database user') AS own,
       CASE WHEN s.name = 'archive_command' AND s.setting ~ '^\s*((/usr)?/bin/)?(true|:|exit 0)\s*$' THEN 'true'
            WHEN s.setting <> '' AND (s.name ~ '[.]' OR s.name ~ '_command$' OR s.name = 'primary_conninfo')
              THEN 'hash ' || pg_catalog.left(pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(s.setting, 'UTF8')), 'hex'), 8)
            ELSE s.setting END AS setting
  FROM pg_catalog.pg_settings s
 WHERE s.pending_restart OR s.source IN ('configuration file', 'command line', 'environment variable')
    OR s.name LIKE 'enable!_%' ESCAPE '!'
    OR s.name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections',
       'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'fsync',
       'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'autovacuum', 'track_counts',
       'autovacuum_max_workers', 'autovacuum_freeze_max_age', 'autovacuum_multixact_freeze_max_age',
       'max_wal_senders',
       'max_replication_slots', 'max_slot_wal_keep_size', 'wal_level', 'hot_standby', 'hot_standby_feedback',
       'shared_buffers', 'work_mem', 'data_checksums', 'archive_mode', 'deadlock_timeout', 'log_lock_waits',
       'max_worker_processes', 'max_prepared_transactions', 'track_activities', 'wal_receiver_timeout',
       'max_locks_per_transaction', 'zero_damaged_pages', 'ignore_checksum_failure', 'max_wal_size', 'random_page_cost',
       'seq_page_cost', 'archive_command', 'archive_library', 'checkpoint_timeout')
 ORDER BY s.name
