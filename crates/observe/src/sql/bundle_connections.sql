SELECT pg_catalog.json_build_object(
         'used', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend' OR (backend_type IS NULL AND datid IS NOT NULL)),
         'max_connections', pg_catalog.current_setting('max_connections')::int4,
         'superuser_reserved_connections', pg_catalog.current_setting('superuser_reserved_connections')::int4,
         'reserved_connections', COALESCE(pg_catalog.current_setting('reserved_connections', true), '0')::int4,
         'by', (SELECT COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(g)), '[]'::json)
                  FROM (SELECT datname, usename, state, pg_catalog.count(*) AS sessions FROM pg_catalog.pg_stat_activity
                         WHERE datid IS NOT NULL GROUP BY datname, usename, state ORDER BY 4 DESC, 1, 2, 3 LIMIT 200) g))::text AS row
