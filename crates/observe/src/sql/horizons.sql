SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::int8 AS next_xid, h.*
  FROM (SELECT 1) one
  LEFT JOIN (
    SELECT 'session' AS kind, a.pid::text AS name, a.pid, a.usename::text AS usename, a.datname::text AS database,
           a.application_name AS application, pg_catalog.host(a.client_addr) AS client, a.state,
           GREATEST(pg_catalog.age(a.backend_xid), pg_catalog.age(a.backend_xmin)) AS xids,
           (extract(epoch FROM a.xact_start) * 1000000)::int8 AS since
      FROM pg_catalog.pg_stat_activity a
     WHERE (a.backend_xid IS NOT NULL OR a.backend_xmin IS NOT NULL) AND a.pid <> pg_catalog.pg_backend_pid()
       AND a.backend_type <> 'walsender'
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_vacuum v WHERE v.pid = a.pid)
    UNION ALL
    SELECT k.kind, s.slot_name::text, s.active_pid, NULL, s.database::text, a.application_name,
           pg_catalog.host(a.client_addr), CASE WHEN s.active THEN 'active' ELSE 'inactive' END,
           pg_catalog.age(CASE k.kind WHEN 'slot' THEN s.xmin ELSE s.catalog_xmin END), NULL
      FROM pg_catalog.pg_replication_slots s
      LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
     CROSS JOIN (VALUES ('slot'), ('slot_catalog')) k(kind)
     WHERE s.wal_status IS DISTINCT FROM 'lost'
       AND CASE k.kind WHEN 'slot' THEN s.xmin ELSE s.catalog_xmin END IS NOT NULL
    UNION ALL
    SELECT 'prepared', p.gid, NULL, p.owner::text, p.database::text, '', NULL, 'prepared', pg_catalog.age(p.transaction),
           (extract(epoch FROM p.prepared) * 1000000)::int8
      FROM pg_catalog.pg_prepared_xacts p
    UNION ALL
    SELECT 'standby', r.application_name, r.pid, r.usename::text, NULL, r.application_name,
           pg_catalog.host(r.client_addr), r.state, pg_catalog.age(r.backend_xmin), NULL
      FROM pg_catalog.pg_stat_replication r
     WHERE r.backend_xmin IS NOT NULL
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s
                        WHERE s.active_pid = r.pid AND s.slot_type = 'logical')
  ) h ON true
 ORDER BY h.xids DESC NULLS LAST, h.kind, h.name
 LIMIT 50
