//! What holds the horizon of vacuum back: every holder with who it is, by how many transaction ids, and since when.
//!
//! Vacuum removes no row version that somebody older may still see. Five kinds of holders keep it from that: a running
//! session, a slot's `xmin`, a slot's `catalog_xmin`, a prepared transaction, and the feedback of a standby. Knows them as
//! the server tells them; refuses to judge how old is too old, and to guess an onset that nobody saw.

use serde::{Deserialize, Serialize};

use super::Counted;
use crate::time::Time;

/// What kind of thing holds the horizon.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum HolderKind {
    /// A session with a snapshot or a transaction id.
    Session,
    /// The `xmin` of a replication slot: what the standby behind it may still see.
    Slot,
    /// The `catalog_xmin` of a logical slot: holds the catalogues only.
    SlotCatalog,
    /// A prepared transaction.
    Prepared,
    /// A walsender that passes on what its standby may still see (`hot_standby_feedback` without a slot).
    Standby,
}

/// One holder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Holder {
    /// What kind of thing.
    pub kind: HolderKind,
    /// Process id of a session, name of a slot or standby, identifier of a prepared transaction.
    pub name: String,
    /// Process id: of the session, or of the walsender that serves the slot or standby.
    pub pid: Option<i32>,
    /// Database user, where there is one.
    pub user: Option<String>,
    /// Database that it is bound to; absent when it holds all of them.
    pub database: Option<String>,
    /// `application_name` of the session or of who streams.
    pub application: String,
    /// Client address.
    pub client: Option<String>,
    /// State of the session; `active` or `inactive` of a slot.
    pub state: Option<String>,
    /// How many transaction ids it is behind the next one.
    pub xids: u64,
    /// Since when, as far as it is known: the start of the transaction, or when its transaction id was new.
    pub since: Option<Time>,
    /// `since` is only when Muster began to look: it may be older.
    pub older: bool,
}

/// All holders of one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Horizons {
    /// The next transaction id, with its epoch.
    pub next_xid: Counted<u64>,
    /// The oldest first; at most [`Self::MOST`].
    pub holders: Vec<Holder>,
    /// Whether this role sees the snapshots of other roles' sessions.
    pub sees_all: bool,
}

impl Horizons {
    /// So many holders are read.
    pub const MOST: usize = 50;

    /// Whether a session holds something; unknown when there are more holders than are read.
    #[must_use]
    pub fn session(&self, pid: i32) -> Option<bool> {
        let held = self
            .holders
            .iter()
            .any(|h| h.kind == HolderKind::Session && h.pid == Some(pid));
        (held || (self.sees_all && self.holders.len() < Self::MOST)).then_some(held)
    }
}

/// A prepared transaction that nobody has decided yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Prepared {
    /// Its global identifier.
    pub gid: String,
    /// When it was prepared.
    pub prepared: Time,
    /// Who prepared it.
    pub owner: String,
    /// In which database.
    pub database: String,
    /// How many transaction ids it is behind the next one.
    pub xids: u64,
}

impl Prepared {
    /// Whose it is, in words that survive its end: a relapse is the same trouble.
    #[must_use]
    pub fn belongs(&self) -> String {
        format!("{}/{}", self.owner, self.database)
    }
}
