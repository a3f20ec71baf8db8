SELECT h.indexrelid::int8 AS oid, h.indexname::text AS name FROM hypopg_create_index($1) h
