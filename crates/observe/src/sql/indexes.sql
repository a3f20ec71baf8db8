SELECT q.* FROM (
WITH building AS (
       SELECT p.index_relid, p.relid FROM pg_catalog.pg_stat_progress_create_index p
        WHERE p.datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())),
     every AS (
       SELECT i.indexrelid, pg_catalog.count(*) OVER () AS total,
              pg_catalog.row_number() OVER (ORDER BY i.indisvalid, c.relpages DESC, i.indexrelid) AS place
         FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema')
SELECT i.indexrelid::int8 AS oid, i.indrelid::int8 AS table_oid, n.nspname::text AS schema, c.relname::text AS name,
       t.relname::text AS table_name, a.amname::text AS method, e.total,
       i.indisunique AS is_unique, i.indisvalid AS valid, i.indisready AS ready, i.indisreplident AS replica_identity,
       i.indisclustered AS clustered, c.relispartition OR t.relispartition AS is_partition,
       EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid) AS of_constraint,
       EXISTS (SELECT 1 FROM pg_catalog.pg_constraint k
                WHERE k.contype = 'f' AND k.conrelid = i.indrelid
                  AND k.conkey <@ (i.indkey::int2[])[0:pg_catalog.cardinality(k.conkey) - 1]) AS foreign_key,
       i.indexprs IS NOT NULL AS expressions, i.indpred IS NOT NULL AS partial,
       c.relpages::int8 AS pages, c.reltuples::int8 AS tuples,
       -- What makes two indexes the same, without deparsing them: that would wait for a lock on their table. Until
       -- PostgreSQL 16 a stored expression remembers where in its text each piece stood, which is no difference.
       ARRAY(SELECT pg_catalog.format('%s:%s:%s:%s', i.indkey[k], i.indclass[k], i.indcollation[k], i.indoption[k])
               FROM pg_catalog.generate_series(0, i.indnkeyatts - 1) k) AS keys,
       ARRAY(SELECT i.indkey[k]::int2 FROM pg_catalog.generate_series(i.indnkeyatts::int4, i.indnatts - 1) k ORDER BY 1) AS includes,
       pg_catalog.md5(pg_catalog.regexp_replace(COALESCE(i.indexprs::text, '') || '|' || COALESCE(i.indpred::text, ''),
                                                ' :location -?\d+', '', 'g')) AS formula,
       pg_catalog.pg_stat_get_numscans(i.indexrelid) AS scans,
       (SELECT (extract(epoch FROM (pg_catalog.to_jsonb(s) ->> 'last_idx_scan')::timestamptz) * 1000000)::int8
          FROM pg_catalog.pg_stat_all_indexes s WHERE s.indexrelid = i.indexrelid) AS last_scan,
       (SELECT pg_catalog.bool_or(b.index_relid = i.indexrelid OR b.relid = i.indrelid) FROM building b) AS building
  FROM every e JOIN pg_catalog.pg_index i ON i.indexrelid = e.indexrelid
  JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am a ON a.oid = c.relam
 WHERE e.place <= $1 ORDER BY e.place
) q
