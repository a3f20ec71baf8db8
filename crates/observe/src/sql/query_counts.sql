SELECT w.oid::int8 AS oid, (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 AS now_us,
       pg_catalog.pg_stat_get_live_tuples(w.oid) AS live, pg_catalog.pg_stat_get_mod_since_analyze(w.oid) AS modified,
       pg_catalog.pg_stat_get_tuples_inserted(w.oid) AS inserted, pg_catalog.pg_stat_get_tuples_updated(w.oid) AS updated,
       pg_catalog.pg_stat_get_tuples_hot_updated(w.oid) AS hot, pg_catalog.pg_stat_get_tuples_deleted(w.oid) AS deleted,
       pg_catalog.pg_stat_get_numscans(w.oid) AS seq_scans,
       (extract(epoch FROM GREATEST(pg_catalog.pg_stat_get_last_analyze_time(w.oid),
                                    pg_catalog.pg_stat_get_last_autoanalyze_time(w.oid))) * 1000000)::int8 AS analyzed,
       (SELECT (extract(epoch FROM pg_catalog.pg_stat_get_db_stat_reset_time(d.oid)) * 1000000)::int8
          FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) AS since
  FROM (SELECT x::oid AS oid FROM pg_catalog.unnest($1::int8[]) x) w
