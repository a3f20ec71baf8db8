//! What a fleet shall be.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which PostgreSQL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PgChoice {
    /// The first that is found.
    #[default]
    Any,
    /// One of this major version.
    Major(u32),
    /// The one whose programs are in this folder.
    Dir(PathBuf),
}

/// What a fleet shall be.
#[derive(Clone, Debug)]
pub struct LabOptions {
    /// Its folder; must not exist yet, or be empty.
    pub dir: PathBuf,
    /// Which PostgreSQL.
    pub pg: PgChoice,
    /// `MUSTER_PG_BINDIR`.
    pub bindir: Option<PathBuf>,
    /// Where `cargo xtask` unpacks programs.
    pub cache_dir: PathBuf,
    /// The running `muster`; children that hold faults and make traffic are started from it.
    pub child_binary: Option<PathBuf>,
    /// Standbys, 0 to 2.
    pub standbys: u8,
    /// Whether there is a PgBouncer (where it is installed).
    pub pooler: bool,
    /// Whether there is a Redis (where it is installed).
    pub cache: bool,
    /// Whether there is background traffic (needs `child_binary`).
    pub traffic: bool,
    /// `max_connections`.
    pub max_connections: u32,
    /// `default_pool_size`.
    pub pool_size: u32,
    /// Settings of every server beyond those of a fleet, such as `max_prepared_transactions`.
    pub settings: BTreeMap<String, String>,
}

impl LabOptions {
    /// The whole fleet in a folder.
    #[must_use]
    pub fn new(dir: PathBuf, cache_dir: PathBuf) -> Self {
        Self {
            dir,
            pg: PgChoice::Any,
            bindir: None,
            cache_dir,
            child_binary: None,
            standbys: 2,
            pooler: true,
            cache: true,
            traffic: true,
            max_connections: 250,
            pool_size: 10,
            settings: BTreeMap::new(),
        }
    }
}
