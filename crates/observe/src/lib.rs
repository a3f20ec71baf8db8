//! Collectors: read-only, one subject a file; together they make a [`Snapshot`] of a cluster.
//!
//! Knows what to ask and how to read the answers. Refuses to judge them, and to change anything: its sessions cannot
//! signal or alter, and no statement here does.

mod apart;
pub mod collectors;
mod lane;
pub mod pass;
mod ring;
mod row;

pub use collectors::{CollectorInfo, all as collectors};
pub use pass::{Cadence, Extent, Observer};
