SELECT p.gid, (extract(epoch FROM p.prepared) * 1000000)::int8 AS prepared, p.owner::text AS owner,
       p.database::text AS database, pg_catalog.age(p.transaction) AS xids
  FROM pg_catalog.pg_prepared_xacts p
 ORDER BY p.prepared, p.gid
 LIMIT 200
