SELECT s.name::text AS name, s.setting::text AS value FROM pg_catalog.pg_settings s
 WHERE s.name IN ('enable_indexscan', 'enable_bitmapscan', 'enable_indexonlyscan', 'enable_sort', 'enable_nestloop')
   AND s.setting = 'off'
 ORDER BY 1
