//! Whose slot it is: remembered, because a standby that is down does not say which slot it uses.

use crate::judge::Context;

/// The address of the standby that uses a slot, now or when it was last read.
pub(crate) fn standby_of(c: &mut Context<'_>, slot: &str) -> Option<String> {
    let name = format!("slot|{slot}");
    let reads = c.snapshot.servers.iter().find(|s| {
        s.replication
            .as_ref()
            .is_some_and(|r| r.value.upstream_slot.as_deref() == Some(slot))
    });
    match reads {
        Some(server) => {
            c.fact(&name, &server.address);
            Some(server.address.clone())
        }
        None => c.known(&name),
    }
}
