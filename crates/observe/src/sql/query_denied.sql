SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT pg_catalog.has_table_privilege(c.oid, 'SELECT')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema')
 ORDER BY pg_catalog.has_schema_privilege(n.oid, 'USAGE') DESC, 1
 LIMIT 1
