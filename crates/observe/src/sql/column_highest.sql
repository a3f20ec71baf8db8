SELECT pg_catalog.max({column})::int8 AS highest FROM {table}
