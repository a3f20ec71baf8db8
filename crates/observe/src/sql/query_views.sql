SELECT c.relname::text AS name, pg_catalog.pg_get_viewdef(c.oid) AS text
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname = ANY ($1)
 ORDER BY 1
