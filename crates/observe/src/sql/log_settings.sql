SELECT name, setting FROM pg_catalog.pg_settings
 WHERE name IN ('log_destination', 'logging_collector', 'log_directory', 'log_line_prefix', 'log_timezone', 'lc_messages',
       'log_min_duration_statement', 'data_directory', 'wal_segment_size')
