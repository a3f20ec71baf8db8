SELECT q.* FROM (
WITH parents AS (
       SELECT p.partrelid, p.partstrat, p.partnatts, c.relname, n.nspname, ty.typname,
              p.partnatts = 1 AND p.partattrs[0] > 0 AND ty.oid IN (1082, 1114, 1184) AS by_time
         FROM pg_catalog.pg_partitioned_table p JOIN pg_catalog.pg_class c ON c.oid = p.partrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = p.partattrs[0]
         LEFT JOIN pg_catalog.pg_type ty ON ty.oid = a.atttypid
        WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_'),
     children AS (
       -- Without the relation (0) the bound is deparsed without a lock on it: a bound holds no columns.
       SELECT i.inhparent, c.oid, c.relname, n.nspname, c.relkind, c.relpages,
              COALESCE((pg_catalog.to_jsonb(i) ->> 'inhdetachpending')::bool, false) AS detaching,
              pg_catalog.pg_get_expr(c.relpartbound, 0) AS bound
         FROM pg_catalog.pg_inherits i JOIN parents p ON p.partrelid = i.inhparent AND p.partstrat = 'r'
         JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace),
     ends AS (
       SELECT ch.*, p.by_time, ch.bound = 'DEFAULT' AS is_default,
              ch.bound LIKE '%FROM (MINVALUE)%' AS from_ever, ch.bound LIKE '%TO (MAXVALUE)%' AS to_ever,
              CASE WHEN p.by_time THEN pg_catalog.substring(ch.bound, 'FROM \(''([^'']*)''\)')::timestamptz END AS lower,
              CASE WHEN p.by_time THEN pg_catalog.substring(ch.bound, 'TO \(''([^'']*)''\)')::timestamptz END AS upper
         FROM children ch JOIN parents p ON p.partrelid = ch.inhparent)
SELECT p.nspname::text AS parent_schema, p.relname::text AS parent, p.partrelid::int8 AS parent_oid, p.typname::text AS key_type,
       p.by_time, e.oid::int8 AS oid, e.nspname::text AS schema, e.relname::text AS name, e.relkind::text AS kind,
       e.is_default, e.detaching, e.from_ever OR e.lower = '-infinity' AS from_ever, e.to_ever OR e.upper = 'infinity' AS to_ever,
       CASE WHEN pg_catalog.isfinite(e.lower) THEN (extract(epoch FROM e.lower) * 1000000)::int8 END AS lower,
       CASE WHEN pg_catalog.isfinite(e.upper) THEN (extract(epoch FROM e.upper) * 1000000)::int8 END AS upper,
       e.relpages::int8 AS pages, pg_catalog.pg_stat_get_live_tuples(e.oid) AS live,
       pg_catalog.pg_stat_get_tuples_inserted(e.oid) AS inserted,
       pg_catalog.count(*) OVER () AS total
  FROM parents p JOIN ends e ON e.inhparent = p.partrelid
 WHERE p.partstrat = 'r'
 ORDER BY p.partrelid, e.is_default DESC, e.upper DESC NULLS FIRST LIMIT $1
) q
