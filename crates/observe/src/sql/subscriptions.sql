SELECT s.subname::text AS name, pg_catalog.count(*) FILTER (WHERE s.subenabled) AS enabled,
       (SELECT pg_catalog.count(w.pid) FROM pg_catalog.pg_stat_subscription w
         WHERE w.subname = s.subname AND w.relid IS NULL AND pg_catalog.to_jsonb(w) ->> 'leader_pid' IS NULL) AS workers
  FROM pg_catalog.pg_subscription s GROUP BY s.subname ORDER BY 1
