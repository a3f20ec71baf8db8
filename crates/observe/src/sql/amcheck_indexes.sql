SELECT i.indexrelid AS oid, (n.nspname || '.' || c.relname)::text AS index, (tn.nspname || '.' || t.relname)::text AS table_name
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
  JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
  JOIN pg_catalog.pg_am a ON a.oid = c.relam
 WHERE a.amname = 'btree' AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisvalid AND i.indisready
 ORDER BY n.nspname IN ('pg_catalog', 'pg_toast', 'information_schema'), c.relpages, c.oid
