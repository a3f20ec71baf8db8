-- The checkpoint of the control file is of the time before a promotion until the next one has ended, minutes later. A primary
-- names the timeline in the segment that it writes now, a standby the one that it receives.
SELECT s.system_identifier::text AS system_identifier,
       COALESCE(CASE WHEN NOT pg_catalog.pg_is_in_recovery()
                     THEN ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int4
                     ELSE (SELECT w.received_tli FROM pg_catalog.pg_stat_wal_receiver w) END, c.timeline_id) AS timeline
  FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c
