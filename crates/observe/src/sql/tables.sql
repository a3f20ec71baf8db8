SELECT q.* FROM (
WITH every AS MATERIALIZED (
       SELECT c.oid, c.relpages,
              pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS modified, pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
              COALESCE('autovacuum_enabled=false' = ANY (c.reloptions) OR 'autovacuum_enabled=off' = ANY (c.reloptions), false)
                AS switched_off
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'm', 'p') AND c.relpersistence <> 't'
          AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'),
     ranked AS (
       SELECT e.oid, pg_catalog.count(*) OVER () AS total,
              pg_catalog.row_number() OVER (ORDER BY e.switched_off DESC, e.relpages DESC, e.oid) AS by_size,
              pg_catalog.row_number() OVER (ORDER BY e.modified DESC, e.oid) AS by_modified,
              pg_catalog.row_number() OVER (ORDER BY e.dead DESC, e.oid) AS by_dead
         FROM every e),
     work AS (
       SELECT relid, 'analyze' AS what FROM pg_catalog.pg_stat_progress_analyze
        WHERE datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
       UNION ALL
       SELECT relid, 'vacuum' FROM pg_catalog.pg_stat_progress_vacuum
        WHERE datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
SELECT c.oid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name, c.relkind::text AS kind,
       c.relispartition AS is_partition, r.total,
       c.relpages::int8 AS pages, c.reltuples::int8 AS tuples, COALESCE(c.reloptions, '{}')::text[] AS options,
       pg_catalog.pg_stat_get_live_tuples(c.oid) AS live, pg_catalog.pg_stat_get_dead_tuples(c.oid) AS dead,
       pg_catalog.pg_stat_get_mod_since_analyze(c.oid) AS modified,
       pg_catalog.pg_stat_get_ins_since_vacuum(c.oid) AS inserted_since_vacuum,
       pg_catalog.pg_stat_get_tuples_inserted(c.oid) AS inserted, pg_catalog.pg_stat_get_tuples_updated(c.oid) AS updated,
       pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS deleted,
       pg_catalog.pg_stat_get_numscans(c.oid) AS seq_scans, pg_catalog.pg_stat_get_tuples_returned(c.oid) AS seq_rows,
       pg_catalog.age(c.relfrozenxid)::int8 AS xid_age,
       (extract(epoch FROM GREATEST(pg_catalog.pg_stat_get_last_vacuum_time(c.oid),
                                    pg_catalog.pg_stat_get_last_autovacuum_time(c.oid))) * 1000000)::int8 AS last_vacuum,
       (extract(epoch FROM GREATEST(pg_catalog.pg_stat_get_last_analyze_time(c.oid),
                                    pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid))) * 1000000)::int8 AS last_analyze,
       (SELECT pg_catalog.min(w.what) FROM work w WHERE w.relid = c.oid) AS worked_on
  FROM ranked r JOIN pg_catalog.pg_class c ON c.oid = r.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE r.by_size <= $1 OR r.by_modified <= $2 OR r.by_dead <= $2
 ORDER BY c.relpages DESC, c.oid
) q
