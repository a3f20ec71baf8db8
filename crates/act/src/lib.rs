//! Probes and actions: the only code that changes an enrolled target (law L3).
//!
//! A probe is a pure reading of a fresh Snapshot; an action freezes exact identities, checks them again in the very
//! statement that acts, and can always say whether it has happened.

pub mod actions;
pub mod bundle;
pub mod exclude;
mod eyes;
mod identity;
pub mod page;
pub mod probes;
pub mod survey;

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use muster_engine::Catalogue;
use muster_model::{Protect, Signature};
use muster_reach::Estate;

pub use bundle::{Kit, SharedKit};
pub use page::reference_page;
pub use survey::Surveys;

/// What the config protects, by cluster; shared, so that a reload counts at once.
pub type Protected = Arc<RwLock<BTreeMap<String, Protect>>>;

/// All probes and actions over an estate.
#[must_use]
pub fn catalogue(estate: &Arc<Estate>, protect: Protected, kit: SharedKit) -> Catalogue {
    let eyes = Arc::new(eyes::Eyes::new(estate.clone()));
    Catalogue::new()
        .probe(probes::pool::PoolProbe::new(eyes.clone()))
        .probe(probes::idle_in_transaction::IdleInTransaction::new(eyes.clone()))
        .probe(probes::connections::Connections::new(eyes.clone()))
        .probe(probes::idle_sessions::IdleSessions::new(eyes.clone()))
        .probe(probes::blocking::Blocking::new(eyes.clone()))
        .probe(probes::replication::ReplicationProbe::new(eyes))
        .probe(probes::evidence::EvidenceProbe::new(estate.clone(), kit))
        .action(actions::terminate_backend::action(
            estate.clone(),
            protect.clone(),
        ))
        .action(actions::cancel_backend::action(estate.clone(), protect))
}

/// The signatures of everything, without an estate.
#[must_use]
pub fn signatures() -> Vec<Signature> {
    let limits = muster_reach::Limits::default();
    let estate = Estate::new(Vec::new(), &limits);
    catalogue(&estate, Protected::default(), SharedKit::default()).signatures()
}
