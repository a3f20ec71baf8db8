//! Holders of the horizon in words: who it is, what is behind it on a standby, and what freeing it costs.
//!
//! Refuses to say what to do: that is the rule's advice and a person's word.

use muster_model::snapshot::{Holder, HolderKind, Role, ServerView, Session};
use muster_model::{Snapshot, Span, Subject, Time};
use serde_json::{Value, json};

use crate::work::Work;

/// The session of a holder that is one.
pub(crate) fn session<'a>(server: &'a ServerView, h: &Holder) -> Option<&'a Session> {
    let pid = h.pid.filter(|_| h.kind == HolderKind::Session)?;
    let activity = server.activity.as_ref()?;
    activity.value.sessions.iter().find(|s| s.pid == pid)
}

/// Who it is: as a subject, and in words.
pub(crate) fn named(h: &Holder, held_by: Option<&Session>) -> (Subject, String) {
    let user = h.user.as_deref().unwrap_or("?");
    let state = h.state.as_deref().unwrap_or("state not seen");
    match h.kind {
        HolderKind::Session => {
            let work = held_by.map(Work::of).filter(|w| w.long_by_design());
            let is = work.map_or_else(|| state.to_owned(), |w| w.words().to_owned());
            let whose = format!("{user}/{}", h.application);
            let database = h.database.as_deref().unwrap_or("?");
            (
                Subject::new("session", &h.name),
                format!("session {} of {whose} in database {database} ({is})", h.name),
            )
        }
        HolderKind::Slot | HolderKind::SlotCatalog => {
            let serves = if h.application.is_empty() {
                String::new()
            } else {
                format!(", serves {}", h.application)
            };
            (
                Subject::new("slot", &h.name),
                format!("replication slot {} ({state}{serves})", h.name),
            )
        }
        HolderKind::Prepared => {
            let database = h.database.as_deref().unwrap_or("?");
            (
                // As locks.orphaned_prepared names it.
                Subject::new("prepared", format!("{user}/{database}")),
                format!(
                    "prepared transaction `{}` of {user} in database {database}",
                    h.name
                ),
            )
        }
        HolderKind::Standby => (
            Subject::new("standby", &h.name),
            format!("the feedback of standby {}", h.name),
        ),
    }
}

/// What freeing it costs.
pub(crate) fn cost(h: &Holder, held_by: Option<&Session>) -> &'static str {
    let wrote = held_by.is_none_or(|s| s.has_xid);
    match h.kind {
        HolderKind::Session => match held_by.map(Work::of) {
            Some(Work::Dump) => "to end it means that the dump begins anew",
            Some(Work::IndexBuild) => "to end it leaves an invalid index that is to be dropped",
            Some(Work::Maintenance | Work::Autovacuum | Work::Wraparound) => {
                "to end it loses what it has done so far; it will be due again"
            }
            _ if held_by.is_some_and(Session::idle_in_transaction) && !wrote => {
                "to end it loses nothing that was written"
            }
            _ if wrote => "to end it rolls back what it has written",
            _ => "to end it loses its running statement, and nothing that was written",
        },
        HolderKind::Slot if h.state.as_deref() == Some("active") => {
            "to free it, end the query on the standby; without hot_standby_feedback such queries are cancelled there"
        }
        HolderKind::Slot => {
            "to free it, bring its standby back; once the slot is dropped the standby may have to be rebuilt"
        }
        HolderKind::SlotCatalog => {
            "to free it, bring its consumer back; once the slot is dropped the consumer has to copy everything anew"
        }
        HolderKind::Prepared => "to free it, its coordinator decides; a wrong guess breaks the other half",
        HolderKind::Standby => {
            "to free it, end the query on the standby; without hot_standby_feedback such queries are cancelled there"
        }
    }
}

/// The standby behind a slot or feedback, when it is watched, and what holds most there.
fn there<'a>(snapshot: &'a Snapshot, h: &Holder) -> Option<(&'a ServerView, &'a Holder)> {
    if !matches!(h.kind, HolderKind::Slot | HolderKind::Standby) {
        return None;
    }
    let uses_slot = |s: &ServerView| {
        let slot = s.replication.as_ref().and_then(|r| r.value.upstream_slot.clone());
        h.kind == HolderKind::Slot && slot.as_deref() == Some(h.name.as_str())
    };
    let standby = snapshot
        .servers
        .iter()
        .filter(|s| s.role() == Some(Role::Standby))
        .find(|s| uses_slot(s) || s.name == h.application)?;
    let holders = &standby.horizons.as_ref()?.value.holders;
    let oldest = holders.iter().find(|o| o.kind == HolderKind::Session)?;
    Some((standby, oldest))
}

/// Whether it is work that is long by design: the session itself, or that on a standby behind a slot or feedback.
pub(crate) fn by_design(snapshot: &Snapshot, server: &ServerView, h: &Holder) -> bool {
    let beyond = || there(snapshot, h).and_then(|(standby, oldest)| session(standby, oldest));
    session(server, h)
        .or_else(beyond)
        .is_some_and(|s| Work::of(s).long_by_design())
}

/// The session on the standby behind a slot or feedback, when that standby is watched.
pub(crate) fn behind(snapshot: &Snapshot, h: &Holder, now: Time) -> Option<(String, Value)> {
    let (standby, oldest) = there(snapshot, h)?;
    let age = oldest.since.map_or(Span::ZERO, |t| now.since(t));
    let owner = format!("{}/{}", oldest.user.as_deref().unwrap_or("?"), oldest.application);
    let words = format!(
        "session {} of {owner} on {}, in its transaction for {}",
        oldest.name,
        standby.address,
        age.human()
    );
    let data = json!({
        "server": standby.address, "pid": oldest.pid, "owner": owner, "age_ms": age.millis(), "xids": oldest.xids,
    });
    Some((words, data))
}
