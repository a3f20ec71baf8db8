CREATE ROLE replicator LOGIN REPLICATION PASSWORD '{replicator}';
CREATE ROLE app LOGIN PASSWORD '{app}';
CREATE ROLE muster LOGIN PASSWORD '{muster}' CONNECTION LIMIT 10;
GRANT pg_monitor TO muster;
CREATE ROLE muster_act LOGIN PASSWORD '{muster_act}' CONNECTION LIMIT 5;
GRANT pg_monitor, pg_signal_backend TO muster_act;
