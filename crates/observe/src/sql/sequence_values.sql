SELECT s.seqrelid::int8 AS oid, pg_catalog.pg_sequence_last_value(s.seqrelid) AS value
  FROM pg_catalog.pg_sequence s WHERE s.seqrelid = ANY ($1::int8[]::oid[])
