//! When a cluster may be changed, and what there is to fall back on: data that guards judge by.

use serde::{Deserialize, Serialize};

use crate::signature::Risk;
use crate::span::Span;
use crate::time::Time;

/// A maintenance window, in the wall-clock time of its zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Window {
    /// Its name in the config.
    pub name: String,
    /// Days on which it begins: 1 is Monday, 7 is Sunday.
    pub days: Vec<i8>,
    /// Minute of the day at which it begins.
    pub from: u16,
    /// Minute of the day at which it ends; not later than `from` means on the next day.
    pub to: u16,
    /// Time zone, as in `Europe/Berlin`.
    pub zone: String,
    /// Least risk that has to wait for it.
    pub risk: Risk,
    /// Whether a run that answers an open incident has to wait too.
    pub incidents: bool,
}

/// What there is to fall back on when something cannot be undone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Safety {
    /// When a backup was last restored and found right.
    pub restored_at: Option<Time>,
    /// Whether the write-ahead log is archived, as far as is known.
    pub archiving: Option<bool>,
    /// How far the best standby is behind.
    pub lag: Option<Span>,
}
