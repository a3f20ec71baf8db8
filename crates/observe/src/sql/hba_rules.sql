SELECT COALESCE(pg_catalog.regexp_replace(pg_catalog.to_jsonb(h) ->> 'file_name', '^.*/', ''), 'pg_hba.conf') AS file,
       h.line_number AS line, h.error
  FROM pg_catalog.pg_hba_file_rules() h WHERE h.error IS NOT NULL ORDER BY h.line_number
