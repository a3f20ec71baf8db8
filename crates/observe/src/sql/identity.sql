SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 AS now_us,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')
         AND pg_catalog.has_function_privilege('pg_catalog.pg_control_checkpoint()', 'EXECUTE') AS control,
       pg_catalog.pg_is_in_recovery() AS in_recovery,
       pg_catalog.current_setting('server_version_num')::int4 AS version_num,
       split_part(pg_catalog.current_setting('server_version'), ' ', 1) AS version,
       (extract(epoch FROM pg_catalog.pg_postmaster_start_time()) * 1000000)::int8 AS started_us,
       pg_catalog.pg_is_in_recovery() OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s,
           unnest(s.setconfig) c WHERE s.setdatabase = 0 AND s.setrole = 0 AND c = 'default_transaction_read_only=on') AS read_only,
       pg_catalog.current_setting('cluster_name') AS cluster_name
