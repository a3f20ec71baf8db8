//! What our own login may do at a server, what reaching it costs, and how long the server's certificate lasts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Before, Cost};
use crate::time::Time;

/// What our login may do, asked anew again and again: a privilege can be taken from a session that lives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct LoginView {
    /// User that observes.
    pub user: String,
    /// By what it is a right to, such as `pg_monitor` or `pg_signal_backend of muster_act`: whether we have it.
    pub rights: BTreeMap<String, bool>,
}

/// The certificate that the server showed in our own TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Certificate {
    /// Last moment at which it is valid; absent when there is no TLS between us, or it cannot be read.
    pub not_after: Option<Time>,
    /// Whether the session is encrypted.
    pub tls: bool,
}

/// What watching one server cost so far, and what it had cost some time ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OwnCost {
    /// When this was summed up.
    pub at: Time,
    /// Since the start of Muster.
    pub now: Cost,
    /// The oldest sum of the last ten minutes.
    pub before: Option<Before<Cost>>,
    /// The quickest answer ever seen, in milliseconds: about the way there and back, which costs the server nothing.
    pub quickest_ms: f64,
}
