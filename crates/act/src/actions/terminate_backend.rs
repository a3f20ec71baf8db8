//! `pg.terminate_backend@1`: ends one session by its exact identity.

use std::sync::Arc;

use muster_reach::Estate;

use super::end::{End, Way};
use crate::Protected;

const WAY: Way = Way {
    name: "pg.terminate_backend@1",
    about: "Ends one session by its exact identity and waits until it is gone.",
    wait: "5s",
    no_undo: "no undo: a session cannot be brought back; its client reconnects",
    sql: include_str!("../sql/terminate.sql"),
    whole: true,
    function: "pg_terminate_backend",
    verb: "ends",
    seen: "the session is gone",
};

/// The action.
#[must_use]
pub fn action(estate: Arc<Estate>, protect: Protected) -> End {
    End::new(&WAY, estate, protect)
}
