SELECT pg_catalog.current_database()::text AS database, e.extversion AS version, p.proargnames AS columns,
       n.nspname::text AS schema, pg_catalog.has_schema_privilege(n.oid, 'USAGE') AS may,
       pg_catalog.set_config('search_path', 'pg_catalog, ' || pg_catalog.quote_ident(n.nspname), false) AS path
  FROM pg_catalog.pg_extension e
  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = e.oid
       AND d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.deptype = 'e'
  JOIN pg_catalog.pg_proc p ON p.oid = d.objid AND p.pronamespace = n.oid AND p.proname = 'pg_stat_statements'
 WHERE e.extname = 'pg_stat_statements'
