SELECT hypopg_relation_size($1::int8::oid)::int8 AS bytes
