SET search_path = pg_catalog;
SET default_transaction_read_only = on;
SET jit = off;
SET statement_timeout = {statement};
SET lock_timeout = {lock};
SET idle_in_transaction_session_timeout = {idle};
