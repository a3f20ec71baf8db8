SELECT q.* FROM (
WITH d AS (SELECT b.*, pg_catalog.to_jsonb(b) AS j FROM pg_catalog.pg_database b WHERE b.datname = pg_catalog.current_database()),
     used AS (
       SELECT k.coll, pg_catalog.count(*) AS indexes, pg_catalog.min(k.name) AS example
         FROM (SELECT DISTINCT u.coll, i.indexrelid, n.nspname || '.' || c.relname AS name
                 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
                 JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                CROSS JOIN LATERAL pg_catalog.unnest(i.indcollation::oid[]) u(coll)
                WHERE c.relkind = 'i' AND n.nspname !~ '^pg_') k
        GROUP BY k.coll)
SELECT 'database default' AS name, 'd' AS provider, true AS is_default,
       COALESCE(d.j ->> 'datcollversion', t.collversion) AS recorded,
       -- The server's own word comes with 15 and later (database_collation.sql). Before it, the collation of the same name.
       pg_catalog.pg_collation_actual_version(t.oid) AS actual, t.oid IS NOT NULL AS known,
       d.datcollate::text AS locale, COALESCE(u.indexes, 0) AS indexes, u.example
  FROM d LEFT JOIN LATERAL (
         SELECT c.oid, c.collversion FROM pg_catalog.pg_collation c
          WHERE c.collprovider = 'c' AND c.collcollate = d.datcollate AND c.collencoding IN (-1, d.encoding)
            AND COALESCE(d.j ->> 'datlocprovider', 'c') = 'c'
          ORDER BY (c.collname = d.datcollate) DESC, c.oid LIMIT 1) t ON true
  LEFT JOIN used u ON u.coll = 100
UNION ALL
SELECT n.nspname || '.' || c.collname, c.collprovider::text, false, c.collversion,
       pg_catalog.pg_collation_actual_version(c.oid), true, c.collcollate::text, u.indexes, u.example
  FROM used u JOIN pg_catalog.pg_collation c ON c.oid = u.coll JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
 WHERE u.coll <> 100
) q
