SELECT c.datname::text AS database, c.confl_tablespace AS tablespace, c.confl_lock AS lock, c.confl_snapshot AS snapshot,
       c.confl_bufferpin AS bufferpin, c.confl_deadlock AS deadlock,
       (pg_catalog.to_jsonb(c) ->> 'confl_active_logicalslot')::int8 AS logical_slot
  FROM pg_catalog.pg_stat_database_conflicts c ORDER BY 1
