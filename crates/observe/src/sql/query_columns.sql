SELECT a.attrelid::int8 AS oid, a.attname::text AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type_name,
       (t.typtype IN ('e', 'r') OR t.typcategory = 'A' OR EXISTS (
          SELECT 1 FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am m ON m.oid = o.opcmethod
           WHERE m.amname = 'btree' AND o.opcdefault
             AND (o.opcintype = COALESCE(NULLIF(t.typbasetype, 0), t.oid)
               OR EXISTS (SELECT 1 FROM pg_catalog.pg_cast k
                           WHERE k.castsource = COALESCE(NULLIF(t.typbasetype, 0), t.oid) AND k.casttarget = o.opcintype
                             AND k.castmethod = 'b' AND k.castcontext = 'i')))) AS orders,
       COALESCE((SELECT l.collname IN ('C', 'POSIX', 'ucs_basic') OR (l.collname = 'default' AND d.datcollate IN ('C', 'POSIX'))
                   FROM pg_catalog.pg_collation l, pg_catalog.pg_database d
                  WHERE l.oid = a.attcollation AND d.datname = pg_catalog.current_database()), true) AS byte_order,
       s.avg_width::int4 AS width, s.n_distinct::float8 AS distincts, s.null_frac::float8 AS nulls,
       s.most_common_freqs[1]::float8 AS commonest
  FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN LATERAL (SELECT p.* FROM pg_catalog.pg_stats p
                      WHERE p.schemaname = n.nspname AND p.tablename = c.relname AND p.attname = a.attname
                      ORDER BY p.inherited LIMIT 1) s ON true
 WHERE a.attrelid::int8 = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
