//! `pg.cancel_backend@1`: cancels the running statement of one session by its exact identity.
//!
//! A cancel is only sent where it works: for a session that idles in its transaction it would return true and change
//! nothing.

use std::sync::Arc;

use muster_reach::Estate;

use super::end::{End, Way};
use crate::Protected;

const WAY: Way = Way {
    name: "pg.cancel_backend@1",
    about: "Cancels the running statement of one session by its exact identity and looks that it stopped.",
    wait: "2s",
    no_undo: "no undo: the statement is rolled back; the session stays, and its client may run it again",
    sql: include_str!("../sql/cancel.sql"),
    whole: false,
    function: "pg_cancel_backend",
    verb: "cancels the statements of",
    seen: "the statement stopped",
};

/// The action.
#[must_use]
pub fn action(estate: Arc<Estate>, protect: Protected) -> End {
    End::new(&WAY, estate, protect)
}
