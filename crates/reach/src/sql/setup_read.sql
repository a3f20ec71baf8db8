SET search_path = pg_catalog;
SET default_transaction_read_only = on;
SET jit = off;
SET statement_timeout = {statement};
SET lock_timeout = {lock};
SET idle_in_transaction_session_timeout = {idle};
SET tcp_keepalives_idle = 60;
SET tcp_keepalives_interval = 10;
SET tcp_keepalives_count = 3;
SELECT pg_catalog.set_config('idle_session_timeout', '0', false)
 WHERE pg_catalog.current_setting('idle_session_timeout', true) IS NOT NULL;
SELECT pg_catalog.set_config('client_encoding', 'SQL_ASCII', false) WHERE pg_catalog.getdatabaseencoding() = 'SQL_ASCII';
