SELECT f.name, pg_catalog.regexp_replace(f.sourcefile, '^.*/', '') AS file, f.sourceline AS line, f.error
  FROM pg_catalog.pg_show_all_file_settings() f WHERE f.error IS NOT NULL ORDER BY f.seqno
