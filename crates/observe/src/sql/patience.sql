SELECT x.was, pg_catalog.set_config('statement_timeout', $1, false) AS becomes
  FROM (SELECT pg_catalog.current_setting('statement_timeout') AS was OFFSET 0) x
