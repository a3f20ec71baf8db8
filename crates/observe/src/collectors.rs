//! The collectors, one subject a file, and what the reference pages say of them.

pub mod activity;
pub mod cache;
pub mod databases;
pub mod horizons;
pub mod identity;
pub mod locks;
pub mod pooler;
pub mod prepared;
pub mod replication;
pub mod settings;
pub mod slru;
pub mod traffic;
pub mod vacuum_queue;
pub mod vacuuming;

/// A collector, for the reference.
#[derive(Clone, Copy, Debug)]
pub struct CollectorInfo {
    /// Name.
    pub name: &'static str,
    /// What it fills in.
    pub about: &'static str,
    /// What it reads.
    pub reads: &'static str,
    /// What its role needs.
    pub needs: &'static str,
    /// How often it runs by default.
    pub cadence: &'static str,
    /// What is missing when the need is not met.
    pub gap: &'static str,
}

/// All of them.
#[must_use]
pub fn all() -> Vec<CollectorInfo> {
    vec![
        identity::INFO,
        activity::INFO,
        locks::INFO,
        pooler::INFO,
        replication::INFO,
        settings::INFO,
        traffic::INFO,
        databases::INFO,
        horizons::INFO,
        prepared::INFO,
        slru::INFO,
        vacuum_queue::INFO,
        vacuuming::INFO,
        cache::INFO,
    ]
}
