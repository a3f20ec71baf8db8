SELECT e.subname::text AS name, pg_catalog.sum(e.apply_error_count)::int8 AS apply, pg_catalog.sum(e.sync_error_count)::int8 AS sync
  FROM pg_catalog.pg_stat_subscription_stats e GROUP BY e.subname
