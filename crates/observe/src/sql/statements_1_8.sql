SELECT s.userid, s.dbid, s.queryid, true AS toplevel, s.calls, s.total_exec_time AS ms, s.rows,
       s.shared_blks_hit + s.shared_blks_read AS blocks, s.shared_blks_read AS blocks_read,
       s.temp_blks_written AS temp_blocks, s.wal_bytes::int8 AS wal_bytes,
       s.blk_read_time + s.blk_write_time AS io_ms, NULL::int8 AS since
  FROM pg_stat_statements(false) s
