SELECT pg_catalog.current_setting('server_version_num')::int4 AS version_num,
       current_user::text AS user_name,
       pg_catalog.pg_backend_pid() AS pid,
       pg_catalog.current_setting('is_superuser') = 'on' AS superuser,
       pg_catalog.pg_has_role(current_user, 'pg_monitor', 'USAGE') AS monitor,
       pg_catalog.pg_has_role(current_user, 'pg_signal_backend', 'USAGE') AS signal,
       COALESCE((SELECT pg_catalog.pg_has_role(current_user, oid, 'USAGE')
                   FROM pg_catalog.pg_roles WHERE rolname = 'pg_use_reserved_connections'), false) AS reserved,
       pg_catalog.has_function_privilege('pg_catalog.pg_hba_file_rules()', 'EXECUTE')
         AND pg_catalog.has_function_privilege('pg_catalog.pg_show_all_file_settings()', 'EXECUTE') AS files,
       pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS control
