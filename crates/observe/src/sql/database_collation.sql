SELECT d.datcollversion AS recorded, pg_catalog.pg_database_collation_actual_version(d.oid) AS actual
  FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()
