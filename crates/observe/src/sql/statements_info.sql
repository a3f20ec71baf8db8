SELECT i.dealloc, (extract(epoch FROM i.stats_reset) * 1000000)::int8 AS anew FROM pg_stat_statements_info() i
