SELECT x.oid, n.nspname || '.' || x.name AS name, x.temporary, x.enabled, x.dead, x.due,
       pg_catalog.pg_stat_get_live_tuples(x.oid) AS live, pg_catalog.age(x.relfrozenxid) AS xids,
       pg_catalog.mxid_age(x.relminmxid) AS multixacts,
       (extract(epoch FROM GREATEST(pg_catalog.pg_stat_get_last_vacuum_time(x.oid),
          pg_catalog.pg_stat_get_last_autovacuum_time(x.oid))) * 1000000)::int8 AS last_vacuum
  FROM (
    SELECT c.oid, c.relnamespace, c.relfrozenxid, c.relminmxid, c.relpersistence = 't' AS temporary,
           COALESCE(p.relname || ' (TOAST)', c.relname::text) AS name, COALESCE(o.enabled, true) AS enabled,
           pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
           GREATEST(pg_catalog.pg_stat_get_dead_tuples(c.oid) / GREATEST(LEAST(
               COALESCE(o.base, g.base) + COALESCE(o.scale, g.scale) * GREATEST(c.reltuples, 0),
               NULLIF(COALESCE(o.most, g.most), -1)), 1),
             CASE WHEN COALESCE(o.ins_base, g.ins_base) >= 0 THEN
               pg_catalog.pg_stat_get_ins_since_vacuum(c.oid)::float8 / GREATEST(
               COALESCE(o.ins_base, g.ins_base) + COALESCE(o.ins_scale, g.ins_scale) * GREATEST(c.reltuples, 0), 1) END,
             0)::float8 AS due,
           old.oid IS NOT NULL AS oldest
      FROM (SELECT pg_catalog.current_setting('autovacuum_vacuum_threshold')::float8 AS base,
                   pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::float8 AS scale,
                   pg_catalog.current_setting('autovacuum_vacuum_max_threshold', true)::float8 AS most,
                   pg_catalog.current_setting('autovacuum_vacuum_insert_threshold')::float8 AS ins_base,
                   pg_catalog.current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS ins_scale OFFSET 0) g
     CROSS JOIN pg_catalog.pg_class c
      LEFT JOIN (SELECT m.reltoastrelid, m.oid, m.relname FROM pg_catalog.pg_class m WHERE m.reltoastrelid <> 0) p
        ON p.reltoastrelid = c.oid
      LEFT JOIN (SELECT r.oid,
               pg_catalog.bool_and(CASE WHEN q.option_name = 'autovacuum_enabled' THEN q.option_value::bool END) AS enabled,
               max(CASE WHEN q.option_name = 'autovacuum_vacuum_threshold' THEN q.option_value::float8 END) AS base,
               max(CASE WHEN q.option_name = 'autovacuum_vacuum_scale_factor' THEN q.option_value::float8 END) AS scale,
               max(CASE WHEN q.option_name = 'autovacuum_vacuum_max_threshold' THEN q.option_value::float8 END) AS most,
               max(CASE WHEN q.option_name = 'autovacuum_vacuum_insert_threshold' THEN q.option_value::float8 END) AS ins_base,
               max(CASE WHEN q.option_name = 'autovacuum_vacuum_insert_scale_factor' THEN q.option_value::float8 END) AS ins_scale
          FROM pg_catalog.pg_class r CROSS JOIN LATERAL pg_catalog.pg_options_to_table(r.reloptions) q
         WHERE r.reloptions IS NOT NULL GROUP BY r.oid) o
        ON o.oid = CASE WHEN c.relkind = 't' AND c.reloptions IS NULL THEN p.oid ELSE c.oid END
      LEFT JOIN (SELECT a.oid FROM pg_catalog.pg_class a WHERE a.relkind IN ('r', 'm', 't')
                  ORDER BY pg_catalog.age(a.relfrozenxid) DESC, a.oid LIMIT 5) old ON old.oid = c.oid
     WHERE c.relkind IN ('r', 'm', 't') AND NOT pg_catalog.pg_is_in_recovery()
  ) x
  JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace
 WHERE x.due >= 1 OR x.oldest OR (NOT x.enabled AND x.dead >= 1000)
 ORDER BY x.oldest DESC, x.enabled, x.due DESC, x.oid
 LIMIT 100
