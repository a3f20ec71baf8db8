SELECT q.* FROM (
WITH used AS (
       -- A sequence belongs to a column when it was made for it (serial, identity), or when the column's default calls it.
       SELECT DISTINCT ON (u.seq) u.seq, u.relid, u.attnum
         FROM (SELECT d.objid AS seq, d.refobjid AS relid, d.refobjsubid AS attnum, 0 AS way
                 FROM pg_catalog.pg_depend d
                WHERE d.classid = 1259 AND d.refclassid = 1259 AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
               UNION ALL
               SELECT d.refobjid, f.adrelid, f.adnum::int4, 1
                 FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef f ON f.oid = d.objid
                WHERE d.classid = 2604 AND d.refclassid = 1259 AND d.deptype = 'n') u
         JOIN pg_catalog.pg_sequence s ON s.seqrelid = u.seq
        ORDER BY u.seq, u.way, u.relid),
     -- Reading its value waits for whoever alters it.
     locked AS (
       SELECT l.relation FROM pg_catalog.pg_locks l
        WHERE l.locktype = 'relation' AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
          AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
SELECT s.seqrelid::int8 AS oid, n.nspname::text AS schema, c.relname::text AS name,
       s.seqstart AS first, s.seqmin AS lowest, s.seqmax AS highest, s.seqincrement AS step, s.seqcycle AS cycles,
       tn.nspname::text AS table_schema, t.relname::text AS table_name, t.oid::int8 AS table_oid, a.attname::text AS column_name,
       CASE a.atttypid WHEN 21 THEN 32767::int8 WHEN 23 THEN 2147483647::int8 WHEN 20 THEN 9223372036854775807::int8 END
         AS column_highest,
       pg_catalog.has_sequence_privilege(s.seqrelid, 'USAGE, SELECT') AS readable,
       COALESCE(pg_catalog.has_column_privilege(t.oid, a.attnum, 'SELECT')
                AND pg_catalog.has_schema_privilege(tn.oid, 'USAGE'), false) AS column_readable,
       t.relkind = 'r' AND EXISTS (
         SELECT 1 FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class ic ON ic.oid = i.indexrelid
           JOIN pg_catalog.pg_am am ON am.oid = ic.relam
          WHERE i.indrelid = t.oid AND i.indisvalid AND i.indisunique AND i.indnkeyatts = 1 AND i.indpred IS NULL
            AND i.indkey[0] = a.attnum AND am.amname = 'btree')
         AS indexed,
       EXISTS (SELECT 1 FROM locked l WHERE l.relation IN (s.seqrelid, t.oid)) AS locked,
       pg_catalog.count(*) OVER () AS total
  FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN used u ON u.seq = s.seqrelid
  LEFT JOIN pg_catalog.pg_class t ON t.oid = u.relid LEFT JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
  LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = u.relid AND a.attnum = u.attnum
 WHERE c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY t.relpages DESC NULLS LAST, s.seqrelid LIMIT $1
) q
