SET search_path = pg_catalog;
SET statement_timeout = 0;
SET lock_timeout = {lock};
SET idle_in_transaction_session_timeout = {idle};
SELECT pg_catalog.set_config('idle_session_timeout', '0', false)
 WHERE pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL;
