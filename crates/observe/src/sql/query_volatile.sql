SELECT DISTINCT 'function' AS what, p.proname::text AS name
  FROM pg_catalog.pg_proc p
 WHERE p.proname = ANY ($1) AND (p.provolatile = 'v' OR p.prokind = 'p')
 UNION ALL
SELECT DISTINCT 'operator', o.oprname::text
  FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_proc p ON p.oid = o.oprcode
 WHERE p.provolatile = 'v' AND o.oprname = ANY ($2)
 UNION ALL
SELECT DISTINCT 'type', t.typname::text
  FROM pg_catalog.pg_type t
 WHERE t.typname = ANY ($3) AND t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace
   AND (EXISTS (SELECT 1 FROM pg_catalog.pg_proc p WHERE p.oid = t.typinput AND p.provolatile = 'v')
     OR EXISTS (SELECT 1 FROM pg_catalog.pg_cast c JOIN pg_catalog.pg_proc p ON p.oid = c.castfunc
                 WHERE t.oid IN (c.castsource, c.casttarget) AND p.provolatile = 'v')
     OR EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k
                  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND d.objid = k.oid
                       AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                  JOIN pg_catalog.pg_proc p ON p.oid = d.refobjid
                 WHERE k.contypid = t.oid AND p.provolatile = 'v'))
 ORDER BY 1, 2
