SELECT y.oid, y.name, y.temporary, y.enabled, y.dead, y.live, y.xids, y.multixacts, y.last_vacuum, y.due, y.all_due
  FROM (
    SELECT x.*, pg_catalog.count(*) FILTER (WHERE x.due >= 1 AND x.enabled AND NOT x.temporary) OVER () AS all_due,
           pg_catalog.row_number() OVER (ORDER BY x.xids DESC, x.oid) AS by_age
      FROM (
        SELECT c.oid, n.nspname || '.' || COALESCE(p.relname || ' (TOAST)', c.relname::text) AS name,
               c.relpersistence = 't' AS temporary, COALESCE(o.enabled, true) AS enabled, s.dead, s.live, s.last_vacuum,
               pg_catalog.age(c.relfrozenxid) AS xids, pg_catalog.mxid_age(c.relminmxid) AS multixacts,
               GREATEST(s.dead / GREATEST(LEAST(
                   COALESCE(o.base, g.base) + COALESCE(o.scale, g.scale) * GREATEST(c.reltuples, 0),
                   NULLIF(COALESCE(o.most, g.most), -1)), 1),
                 CASE WHEN COALESCE(o.ins_base, g.ins_base) >= 0 THEN s.inserted / GREATEST(
                   COALESCE(o.ins_base, g.ins_base) + COALESCE(o.ins_scale, g.ins_scale) * GREATEST(c.reltuples, 0), 1) END,
                 0)::float8 AS due
          FROM (SELECT pg_catalog.current_setting('autovacuum_vacuum_threshold')::float8 AS base,
                       pg_catalog.current_setting('autovacuum_vacuum_scale_factor')::float8 AS scale,
                       pg_catalog.current_setting('autovacuum_vacuum_max_threshold', true)::float8 AS most,
                       pg_catalog.current_setting('autovacuum_vacuum_insert_threshold')::float8 AS ins_base,
                       pg_catalog.current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS ins_scale) g
         CROSS JOIN pg_catalog.pg_class c
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_catalog.pg_class p ON p.reltoastrelid = c.oid AND c.relkind = 't'
         CROSS JOIN LATERAL (
            SELECT pg_catalog.bool_and(CASE WHEN q.option_name = 'autovacuum_enabled' THEN q.option_value::bool END) AS enabled,
                   max(CASE WHEN q.option_name = 'autovacuum_vacuum_threshold' THEN q.option_value::float8 END) AS base,
                   max(CASE WHEN q.option_name = 'autovacuum_vacuum_scale_factor' THEN q.option_value::float8 END) AS scale,
                   max(CASE WHEN q.option_name = 'autovacuum_vacuum_max_threshold' THEN q.option_value::float8 END) AS most,
                   max(CASE WHEN q.option_name = 'autovacuum_vacuum_insert_threshold' THEN q.option_value::float8 END) AS ins_base,
                   max(CASE WHEN q.option_name = 'autovacuum_vacuum_insert_scale_factor' THEN q.option_value::float8 END) AS ins_scale
              FROM pg_catalog.pg_options_to_table(CASE WHEN c.relkind = 't' AND c.reloptions IS NULL THEN p.reloptions
                                                       ELSE c.reloptions END) q) o
         CROSS JOIN LATERAL (
            SELECT pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead, pg_catalog.pg_stat_get_live_tuples(c.oid) AS live,
                   pg_catalog.pg_stat_get_ins_since_vacuum(c.oid)::float8 AS inserted,
                   (extract(epoch FROM GREATEST(pg_catalog.pg_stat_get_last_vacuum_time(c.oid),
                      pg_catalog.pg_stat_get_last_autovacuum_time(c.oid))) * 1000000)::int8 AS last_vacuum) s
         WHERE c.relkind IN ('r', 'm', 't')
      ) x
  ) y
 WHERE y.due >= 1 OR y.by_age <= 5 OR (NOT y.enabled AND y.dead >= 1000)
 ORDER BY y.by_age > 5, y.enabled, y.due DESC, y.oid
 LIMIT 100
