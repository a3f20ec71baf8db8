SELECT d.datname::text AS database, pg_catalog.age(d.datfrozenxid) AS xids, pg_catalog.mxid_age(d.datminmxid) AS multixacts,
       pg_catalog.current_setting('autovacuum_max_workers')::int4 AS max_workers
  FROM pg_catalog.pg_database d ORDER BY d.datname::text COLLATE "C"
