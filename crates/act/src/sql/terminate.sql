-- One acting statement of ours a server at a time, also of a Muster that is dead but whose statement still runs: the lock
-- ends with the statement.
WITH mine AS MATERIALIZED (
  SELECT pg_catalog.pg_try_advisory_xact_lock(1836413812, 1) AS alone
)
SELECT m.alone, t.sent
  FROM mine m
  LEFT JOIN LATERAL (
    SELECT pg_catalog.pg_terminate_backend(a.pid) AS sent
      FROM pg_catalog.pg_stat_activity a
      JOIN pg_catalog.pg_roles r ON r.oid = a.usesysid
     WHERE m.alone
       AND a.pid = $1
       AND (extract(epoch FROM a.backend_start) * 1000000)::int8 = $2
       AND (extract(epoch FROM a.xact_start) * 1000000)::int8 IS NOT DISTINCT FROM $3
       AND a.state = $4
       AND a.usename = $5
       AND (a.state = 'active' OR (extract(epoch FROM a.state_change) * 1000000)::int8 IS NOT DISTINCT FROM $6)
       AND (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) = $7
       AND a.backend_type = 'client backend'
       AND NOT r.rolsuper
       AND a.application_name NOT LIKE 'muster/%'
       AND a.wait_event IS DISTINCT FROM 'SyncRep'
       AND a.pid <> pg_catalog.pg_backend_pid()
       AND (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::int8 < $8
  ) t ON true
