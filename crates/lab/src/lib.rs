//! Real local fleets, faults and workloads with a ledger of acknowledged writes.
