SELECT q.* FROM (
WITH chosen AS (
       (SELECT c.oid, c.oid AS of_table, false AS is_index
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_catalog.pg_am am ON am.oid = c.relam
         WHERE c.relkind IN ('r', 'm') AND am.amname = 'heap' AND c.relpersistence <> 't' AND c.relpages >= $2::int4
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
         ORDER BY c.relpages DESC, c.oid LIMIT $1)
       UNION ALL
       (SELECT c.oid, i.indrelid, true
          FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am am ON am.oid = c.relam
         WHERE c.relkind = 'i' AND am.amname = 'btree' AND c.relpersistence <> 't' AND c.relpages >= $2::int4 AND i.indisvalid
           AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
         ORDER BY c.relpages DESC, c.oid LIMIT $1))
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, t.relname::text AS table_name, h.is_index,
       c.relpages::int8 AS pages, c.reltuples::float8 AS tuples, COALESCE(c.reloptions, '{}')::text[] AS options,
       pg_catalog.has_table_privilege(t.oid, 'SELECT') AND NOT (t.relrowsecurity AND
         pg_catalog.row_security_active(t.oid)) AS readable,
       pg_catalog.pg_stat_get_live_tuples(t.oid) AS live, pg_catalog.pg_stat_get_mod_since_analyze(t.oid) AS modified,
       (extract(epoch FROM GREATEST(pg_catalog.pg_stat_get_last_analyze_time(t.oid),
                                    pg_catalog.pg_stat_get_last_autoanalyze_time(t.oid))) * 1000000)::int8 AS last_analyze,
       COALESCE(i.indexprs IS NOT NULL, false) AS expressions, COALESCE(i.indpred IS NOT NULL, false) AS partial,
       x.columns, x.lens, x.aligns, x.widths, x.nulls, x.dropped, x.defaulted
  FROM chosen h JOIN pg_catalog.pg_class c ON c.oid = h.oid JOIN pg_catalog.pg_class t ON t.oid = h.of_table
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_catalog.pg_index i ON h.is_index AND i.indexrelid = h.oid
 CROSS JOIN LATERAL (
       SELECT pg_catalog.array_agg(a.attname::text ORDER BY o.place) AS columns,
              pg_catalog.array_agg(a.attlen::int4 ORDER BY o.place) AS lens,
              pg_catalog.array_agg(a.attalign::text ORDER BY o.place) AS aligns,
              pg_catalog.array_agg(s.avg_width::int4 ORDER BY o.place) AS widths,
              pg_catalog.array_agg(s.null_frac::float4 ORDER BY o.place) AS nulls,
              pg_catalog.array_agg(a.attisdropped ORDER BY o.place) AS dropped,
              COALESCE(pg_catalog.bool_or(a.atthasmissing), false) AS defaulted
         FROM (SELECT pg_catalog.generate_series(1, t.relnatts::int4) AS attnum, pg_catalog.generate_series(1, t.relnatts::int4) AS place
                WHERE NOT h.is_index
               UNION ALL
               SELECT i.indkey[k]::int4, k + 1 FROM pg_catalog.generate_series(0, i.indnatts - 1) k WHERE h.is_index) o
         JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.attnum
         LEFT JOIN LATERAL (SELECT p.avg_width, p.null_frac FROM pg_catalog.pg_stats p
                             WHERE p.schemaname = n.nspname AND p.tablename = t.relname AND p.attname = a.attname
                               AND NOT p.inherited LIMIT 1) s ON true
        WHERE a.attgenerated <> 'v') x
 ORDER BY c.relpages DESC, c.oid
) q
