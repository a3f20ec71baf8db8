//! Collectors: read-only, one subject a file; together they make a [`Snapshot`] of a cluster.
//!
//! Knows what to ask and how to read the answers. Refuses to judge them, and to change anything: its sessions cannot
//! signal or alter, and no statement here does.

mod about;
mod apart;
mod beside;
mod budget;
pub mod bundle;
pub mod collectors;
mod defect;
mod denied;
mod expense;
mod host;
mod lane;
pub mod log;
mod near;
pub mod pass;
pub mod queries;
mod ring;
mod row;
mod tally;
mod texts;

pub use collectors::amcheck::{DeepLook, look as deep_look};
pub use collectors::{CollectorInfo, all as collectors};
pub use pass::{Cadence, Extent, Observer};
