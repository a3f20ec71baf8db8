SELECT pg_catalog.split_part(x.item, '=', 1) AS name, pg_catalog.substr(x.item, pg_catalog.strpos(x.item, '=') + 1) AS value
  FROM pg_catalog.pg_db_role_setting s
  LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
  LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
 CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS x(item)
 WHERE (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())
   AND (s.setrole = 0 OR r.rolname = $1)
   AND pg_catalog.split_part(x.item, '=', 1) = ANY ($2)
 -- The most particular last: it is set last and wins.
 ORDER BY s.setrole <> 0, s.setdatabase <> 0
