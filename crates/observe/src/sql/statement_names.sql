SELECT true AS role, r.oid, r.rolname::text AS name FROM pg_catalog.pg_roles r WHERE r.oid = ANY ($1)
 UNION ALL
SELECT false, d.oid, d.datname::text FROM pg_catalog.pg_database d WHERE d.oid = ANY ($2)
