//! Probes and actions: the only code that changes an enrolled target.
