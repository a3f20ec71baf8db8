SELECT s.name, s.blks_hit AS hit, s.blks_read AS read FROM pg_catalog.pg_stat_slru s ORDER BY s.name
