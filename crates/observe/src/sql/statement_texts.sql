SELECT COALESCE(sum(pg_catalog.octet_length(s.query)), 0)::int8 AS bytes,
       array_agg(s.queryid) FILTER (WHERE s.queryid = ANY ($1)) AS ids,
       array_agg(pg_catalog.left(s.query, $2)) FILTER (WHERE s.queryid = ANY ($1)) AS texts,
       array_agg(pg_catalog.octet_length(s.query)) FILTER (WHERE s.queryid = ANY ($1)) AS lengths
  FROM pg_stat_statements(true) s
