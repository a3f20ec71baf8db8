SELECT bt_index_check($1::pg_catalog.oid::pg_catalog.regclass)
