//! Everything that starts a fleet; nextest limits how many of these run at once.

mod ending;
mod locks;
mod pool;
mod replication;
mod slots;
