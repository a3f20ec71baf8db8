SELECT p.parameter_types::text[] AS types FROM pg_catalog.pg_prepared_statements p WHERE p.name = 'muster_trial'
