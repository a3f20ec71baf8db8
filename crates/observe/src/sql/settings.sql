SELECT name, setting, pending_restart FROM pg_catalog.pg_settings
 WHERE pending_restart OR name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections',
       'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'fsync',
       'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'autovacuum', 'track_counts',
       'autovacuum_max_workers', 'autovacuum_freeze_max_age', 'autovacuum_multixact_freeze_max_age',
       'max_wal_senders',
       'max_replication_slots', 'max_slot_wal_keep_size', 'wal_level', 'hot_standby', 'hot_standby_feedback',
       'shared_buffers', 'work_mem', 'data_checksums', 'archive_mode', 'deadlock_timeout', 'log_lock_waits',
       'max_worker_processes', 'max_prepared_transactions', 'track_activities', 'wal_receiver_timeout')
 ORDER BY name
