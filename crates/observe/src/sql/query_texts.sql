SELECT s.queryid, s.userid, s.dbid, s.calls::int8 AS calls, r.rolname::text AS user_name, d.datname::text AS database,
       pg_catalog.left(s.query, $1) AS text, pg_catalog.octet_length(s.query) AS bytes
  FROM pg_stat_statements(true) s
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.userid
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.dbid
 WHERE ($2::int8 IS NULL OR s.queryid = $2) AND s.queryid IS NOT NULL
 ORDER BY s.calls DESC
