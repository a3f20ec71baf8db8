SELECT i.indrelid::int8 AS oid, c.relname::text AS name, m.amname::text AS method, i.indisvalid AND i.indisready AS valid,
       pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate, c.relpages::int8 AS pages,
       ARRAY(SELECT a.attname::text FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) k
               LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND a.attnum > 0
              ORDER BY k) AS columns,
       ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, k + 1, true)
               FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) k ORDER BY k) AS texts,
       ARRAY(SELECT o.opcname LIKE '%pattern_ops' OR COALESCE(
                      (SELECT l.collname IN ('C', 'POSIX', 'ucs_basic')
                           OR (l.collname = 'default' AND d.datcollate IN ('C', 'POSIX'))
                         FROM pg_catalog.pg_collation l, pg_catalog.pg_database d
                        WHERE l.oid = i.indcollation[k] AND d.datname = pg_catalog.current_database()), false)
               FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) k
               JOIN pg_catalog.pg_opclass o ON o.oid = i.indclass[k] ORDER BY k) AS prefixes
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
  JOIN pg_catalog.pg_am m ON m.oid = c.relam
 WHERE i.indrelid::int8 = ANY ($1)
 ORDER BY i.indrelid, c.relname
