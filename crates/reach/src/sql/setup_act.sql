SET search_path = pg_catalog;
SET statement_timeout = 0;
SET lock_timeout = {lock};
SET idle_in_transaction_session_timeout = {idle};
