SELECT q.* FROM (
WITH own AS MATERIALIZED (
       -- Partitions come and go by themselves, and what an extension brings is not of the schema's own making.
       SELECT c.oid, n.nspname, c.relname, c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND c.relpersistence <> 't' AND NOT c.relispartition
          AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
          AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                           WHERE d.classid = 1259 AND d.objid = c.oid AND d.deptype = 'e'))
SELECT k.part, pg_catalog.count(*) AS objects,
       pg_catalog.md5(COALESCE(pg_catalog.sum(pg_catalog.hashtextextended(k.said, 0)::numeric), 0)::text) AS digest
  FROM (SELECT 'columns' AS part, pg_catalog.concat_ws('|', o.nspname, o.relname, o.relkind, a.attname, a.atttypid, a.atttypmod,
               a.attnotnull, a.attidentity, a.attgenerated, a.attcollation,
               pg_catalog.regexp_replace(f.adbin::text, ' :location -?\d+', '', 'g')) AS said
          FROM own o LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
          LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum
        UNION ALL
        SELECT 'indexes', pg_catalog.concat_ws('|', o.nspname, o.relname, c.relname, i.indkey, i.indclass, i.indcollation, i.indoption,
               i.indisunique, i.indnkeyatts, c.relam,
               pg_catalog.regexp_replace(pg_catalog.concat(i.indexprs, '|', i.indpred), ' :location -?\d+', '', 'g'))
          FROM own o JOIN pg_catalog.pg_index i ON i.indrelid = o.oid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         WHERE i.indisvalid
        UNION ALL
        SELECT 'constraints', pg_catalog.concat_ws('|', o.nspname, o.relname, k.conname, k.contype, k.condeferrable, k.condeferred,
               k.confrelid, k.conkey, k.confkey, k.confupdtype, k.confdeltype,
               pg_catalog.regexp_replace(k.conbin::text, ' :location -?\d+', '', 'g'))
          FROM own o JOIN pg_catalog.pg_constraint k ON k.conrelid = o.oid
        UNION ALL
        SELECT 'functions', pg_catalog.concat_ws('|', n.nspname, p.proname, p.proargtypes, p.prorettype, p.provolatile, p.prosecdef,
               p.prosrc, pg_catalog.to_jsonb(p) ->> 'prosqlbody')
          FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
         WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
           AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d
                            WHERE d.classid = 1255 AND d.objid = p.oid AND d.deptype = 'e')) k
 GROUP BY k.part ORDER BY k.part
) q
