-- The timeline is the beginning of the name of the segment that is written now; a standby writes none.
SELECT CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN ('x' || substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int4
       END AS timeline
