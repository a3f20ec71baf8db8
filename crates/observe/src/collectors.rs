//! The collectors, one subject a file, and what the reference pages say of them.

pub mod activity;
pub mod amcheck;
pub mod app;
pub mod app_log;
pub mod cache;
pub mod certificate;
pub mod collations;
pub mod conflicts;
pub mod databases;
pub mod files;
pub mod horizons;
pub mod host;
pub mod identity;
pub mod indexes;
pub mod limits;
pub mod locks;
pub mod log;
pub mod login;
pub mod migrations;
pub mod partitions;
pub mod pooler;
pub mod prepared;
pub mod replication;
pub mod scans;
pub mod sequences;
pub mod settings;
pub mod slru;
pub mod statements;
pub mod tables;
pub mod traffic;
pub mod vacuum_queue;
pub mod vacuuming;
pub mod waits;
pub mod wal;
pub mod widths;

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
        tables::INFO,
        indexes::INFO,
        widths::INFO,
        sequences::INFO,
        partitions::INFO,
        migrations::INFO,
        collations::INFO,
        wal::INFO,
        conflicts::INFO,
        login::INFO,
        files::INFO,
        certificate::INFO,
        waits::INFO,
        statements::INFO,
        scans::INFO,
        log::INFO,
        host::INFO,
        horizons::INFO,
        prepared::INFO,
        slru::INFO,
        vacuum_queue::INFO,
        vacuuming::INFO,
        cache::INFO,
        app_log::INFO,
        app::INFO,
        limits::INFO,
        amcheck::INFO,
    ]
}
