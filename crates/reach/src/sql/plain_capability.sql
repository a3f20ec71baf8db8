SELECT (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'server_version_num') AS version_num,
       current_user::text AS user_name
