SELECT s.name, s.setting, s.source IN ('session', 'client', 'user', 'database', 'database user') AS own,
       (SELECT COALESCE(pg_catalog.pg_get_userbyid(NULLIF(r.setrole, 0)), 'database ' || r.setdatabase::text)
          FROM pg_catalog.pg_db_role_setting r
         WHERE (s.name LIKE 'log!_min!_duration%' ESCAPE '!' OR s.name LIKE 'log!_%!_sample!_rate' ESCAPE '!')
           AND EXISTS (SELECT FROM pg_catalog.unnest(r.setconfig) c WHERE pg_catalog.starts_with(c, s.name || '='))
         ORDER BY r.setrole, r.setdatabase LIMIT 1)::text AS other
  FROM pg_catalog.pg_settings s
 WHERE s.name IN ('log_destination', 'logging_collector', 'log_directory', 'log_line_prefix', 'log_timezone', 'lc_messages',
       'log_min_duration_statement', 'log_min_duration_sample', 'log_statement_sample_rate', 'log_transaction_sample_rate',
       'data_directory', 'wal_segment_size')
