//! Probes, one subject a file. Each reads a fresh Snapshot and says what its signature promises.

pub mod blocking;
pub mod connections;
pub mod evidence;
pub mod idle_in_transaction;
pub mod idle_sessions;
pub mod pool;
pub mod replication;

use muster_model::{Field, Kind, Risk, Signature};

fn probe(name: &str, about: &str, params: Vec<Field>, outputs: Vec<Field>) -> Signature {
    Signature {
        name: name.to_owned(),
        kind: Kind::Probe,
        risk: Risk::Read,
        about: about.to_owned(),
        params,
        outputs,
        target: None,
        undo: None,
    }
}
