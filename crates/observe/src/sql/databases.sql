SELECT d.datname::text AS name, d.datconnlimit AS most, pg_catalog.has_database_privilege(d.oid, 'CONNECT') AS may
  FROM pg_catalog.pg_database d WHERE d.datallowconn AND NOT d.datistemplate ORDER BY d.datname::text COLLATE "C"
