SELECT u.name, r.part, r.held
  FROM (SELECT current_user::text AS name) u
 CROSS JOIN LATERAL (
       SELECT g.rolname::text AS part, pg_catalog.pg_has_role(current_user, g.oid, 'USAGE') AS held
         FROM pg_catalog.pg_roles g WHERE g.rolname IN ('pg_monitor', 'pg_use_reserved_connections', 'pg_read_all_data')
       UNION ALL
       SELECT p.proname::text || '()', pg_catalog.has_function_privilege(current_user, p.oid, 'EXECUTE')
         FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ('pg_control_system', 'pg_control_checkpoint',
              'pg_show_all_file_settings', 'pg_hba_file_rules')
       UNION ALL
       SELECT g.rolname::text || ' of ' || a.rolname::text, pg_catalog.pg_has_role(a.oid, g.oid, 'USAGE')
         FROM pg_catalog.pg_roles a CROSS JOIN pg_catalog.pg_roles g
        WHERE a.rolname::text = $1::text AND g.rolname IN ('pg_signal_backend', 'pg_monitor')) r
 ORDER BY r.part
