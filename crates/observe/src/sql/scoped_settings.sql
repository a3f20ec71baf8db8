SELECT d.datname::text AS database, r.rolname::text AS role, pg_catalog.split_part(c.entry, '=', 1) AS name,
       CASE WHEN pg_catalog.split_part(c.entry, '=', 1) ~ '[.]' THEN ''
            ELSE pg_catalog.substr(c.entry, pg_catalog.strpos(c.entry, '=') + 1) END AS value
  FROM pg_catalog.pg_db_role_setting s
 CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS c(entry)
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
 ORDER BY 1, 2, 3 LIMIT 500
