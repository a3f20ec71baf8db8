SELECT pid, status, sender_host, sender_port, slot_name::text AS slot_name,
       (extract(epoch FROM last_msg_receipt_time) * 1000000)::int8 AS last_message
  FROM pg_catalog.pg_stat_wal_receiver WHERE pid IS NOT NULL
